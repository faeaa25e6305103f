package superblock

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/bits"
)

// window is n bytes of head from at; false if it is cut off there.
func window(head []byte, at, n int) ([]byte, bool) {
	if len(head) < at+n {
		return nil, false
	}
	return head[at : at+n], true
}

// powerBetween: sizes of blocks and sectors are powers of two.
func powerBetween[N uint16 | uint32 | int64](n, least, most N) bool {
	return n >= least && n <= most && n&(n-1) == 0
}

// product is a*b, or the largest size that there is: what counts blocks may say 2^64.
func product(a, b uint64) int64 {
	high, low := bits.Mul64(a, b)
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}

// text ends at the first zero, if it has one.
func text(b []byte) string {
	t, _, _ := bytes.Cut(b, []byte{0})
	return string(t)
}

func uuid(b []byte) string {
	if len(trimZeros(b)) == 0 {
		return ""
	}
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func trimZeros(b []byte) []byte { return bytes.TrimLeft(b, "\x00") }
