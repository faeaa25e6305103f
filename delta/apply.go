package delta

import (
	"encoding/binary"
	"os"

	"github.com/klauspost/compress/zstd"

	"uml/fault"
	"uml/sparse"
)

// A Target is a file that is made like another.
type Target struct {
	File *os.File
	Size int64
	Sums *Sums // of what is there

	buf, sums []byte
}

// Apply does what a frame of Send says to one of the targets. Nothing is written beyond a target's
// size. The sums are those of what is read back.
func Apply(kind byte, payload []byte, targets map[int]*Target) error {
	if len(payload) == 0 {
		return bad("an empty frame")
	}
	t := targets[int(payload[0])]
	if t == nil {
		return bad("file %d is none that was asked for", payload[0])
	}
	switch kind {
	case KindData:
		return t.data(payload[1:])
	case KindZero:
		return t.zero(payload[1:])
	}
	return bad("a frame of kind %q in a pass", kind)
}

func bad(format string, args ...any) error {
	return fault.Permanent("the other side's pass: "+format, args...)
}

// room says whether n bytes at an offset are whole blocks of the target, but for its last.
func (t *Target) room(at uint64, n uint64) error {
	size := uint64(t.Size)
	if n == 0 || at >= size || n > size-at || at%Block != 0 || n%Block != 0 && at+n != size {
		return bad("%d bytes at %d of %d", n, at, size)
	}
	return nil
}

var unpack, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(piece), zstd.WithDecoderMaxWindow(piece))

func (t *Target) data(b []byte) error {
	if len(b) < 9 || b[0]&^flagZstd != 0 {
		return bad("a short frame, or flags that are not known")
	}
	packed, at := b[0] == flagZstd, binary.BigEndian.Uint64(b[1:])
	b = b[9:]
	if packed {
		out, err := unpack.DecodeAll(b, t.buf[:0])
		if err != nil {
			return bad("%w", err)
		}
		t.buf, b = out, out
	}
	if err := t.room(at, uint64(len(b))); err != nil {
		return err
	}
	if len(b) > piece {
		return bad("%d bytes at once", len(b))
	}
	if _, err := t.File.WriteAt(b, int64(at)); err != nil {
		return err
	}
	if cap(t.buf) < len(b) {
		t.buf = make([]byte, piece)
	}
	back := t.buf[:len(b)]
	if _, err := t.File.ReadAt(back, int64(at)); err != nil {
		return err
	}
	t.sums = sum(t.sums, back)
	return t.Sums.put(t.sums, int64(at)/Block)
}

func (t *Target) zero(b []byte) error {
	if len(b) != 16 {
		return bad("a frame of zeros of %d bytes", len(b))
	}
	at, n := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if err := t.room(at, n); err != nil {
		return err
	}
	if err := sparse.Clear(t.File, int64(at), int64(at+n)); err != nil {
		return err
	}
	return t.Sums.forget(int64(at)/Block, blocks(int64(at+n)))
}

// TakeSums is for a frame of SendSums: what the other side has of a file.
func TakeSums(kind byte, b []byte, file byte, size int64, s *Sums) error {
	if kind != KindSums || len(b) < 9 || b[0] != file || (len(b)-9)%sumLen != 0 {
		return bad("a frame of kind %q where sums should be", kind)
	}
	block, n := binary.BigEndian.Uint64(b[1:]), uint64(len(b)-9)/sumLen
	if all := uint64(blocks(size)); block > all || n > all-block {
		return bad("%d sums from %d on of %d", n, block, all)
	}
	return s.put(b[9:], int64(block))
}
