package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"

	"uml/sparse"
)

// part is how much of a bitmap is read at once: that of 512 MB of disc.
const part = 128 << 10

// bytesOf calls do with each part of the bitmap's bytes [from,to) that is not a hole
// of the file, which is all zeros. What do changes in b is not written.
func (c *File) bytesOf(from, to int64, do func(at int64, b []byte) error) error {
	at := c.BitmapAt()
	buf := make([]byte, min(part, to-from))
	return sparse.Extents(c.f, at+from, at+to, func(begin, end int64) error {
		for begin < end {
			b := buf[:min(int64(len(buf)), end-begin)]
			if err := fill(c.f, b, begin); err != nil {
				return err
			}
			if err := do(begin-at, b); err != nil {
				return err
			}
			begin += int64(len(b))
		}
		return nil
	})
}

// runs calls do for each run of sectors of [from,to) which all are in the COW file,
// or all are not, in order. A sector without a bit is not.
func (c *File) runs(from, to int64, do func(from, to int64, own bool) error) error {
	r := run{from: from, at: from, do: do}
	last := min((to-1)/8+1, c.BitmapLen())
	err := c.bytesOf(min(from/8, last), last, func(at int64, b []byte) error {
		if err := r.extend(max(at*8, from), false); err != nil {
			return err
		}
		for len(b) > 0 {
			n := same(b)
			if v := b[0]; v != 0 && v != 0xff {
				for bit := range int64(8) {
					if s := at*8 + bit; s >= from && s < to {
						if err := r.extend(s+1, v>>bit&1 == 1); err != nil {
							return err
						}
					}
				}
			} else if err := r.extend(min((at+int64(n))*8, to), v == 0xff); err != nil {
				return err
			}
			at, b = at+int64(n), b[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.extend(to, false); err != nil {
		return err
	}
	return r.end()
}

// same is how many bytes at the beginning are the first one, if that says the same of
// all of its sectors.
func same(b []byte) int {
	if b[0] != 0 && b[0] != 0xff {
		return 1
	}
	n := max(alike(b), 1)
	for n < len(b) && b[n] == b[0] {
		n++
	}
	return n
}

var zeros, ones [512]byte

func init() {
	for i := range ones {
		ones[i] = 0xff
	}
}

func uniform(v byte) []byte {
	if v == 0 {
		return zeros[:]
	}
	return ones[:]
}

// A run grows until the next sector is of the other kind.
type run struct {
	from, at int64
	own      bool
	do       func(from, to int64, own bool) error
}

func (r *run) extend(to int64, own bool) error {
	if to <= r.at {
		return nil
	}
	if own != r.own {
		if err := r.end(); err != nil {
			return err
		}
		r.own = own
	}
	r.at = to
	return nil
}

func (r *run) end() error {
	if r.at == r.from {
		return nil
	}
	from := r.from
	r.from = r.at
	return r.do(from, r.at, r.own)
}

// full is the byte of a page that is all in the COW file: that of the disc's last may
// have fewer sectors.
func (c *File) full(at int64) byte {
	if sectors := (c.Size-1)/Sector + 1 - at*8; sectors < 8 {
		return 1<<sectors - 1
	}
	return 0xff
}

// A Count is what a bitmap says.
type Count struct {
	Sectors int64 // in the COW file
	Halves  int64 // pages of which only a part is
	Beyond  int64 // sectors that are said to be, and lie behind the disc's end
}

// Count looks at the whole bitmap, by several threads: that of a disc of 100 GB is 25 MB.
func (c *File) Count() (n Count, err error) {
	const threads = 4
	counts, errs := make([]Count, threads), make([]error, threads)
	each := roundUp(c.BitmapLen()/threads+1, Page)
	var all sync.WaitGroup
	for i := range int64(threads) {
		from, to := min(i*each, c.BitmapLen()), min((i+1)*each, c.BitmapLen())
		all.Go(func() {
			errs[i] = c.bytesOf(from, to, func(at int64, b []byte) error {
				counts[i].add(b)
				return nil
			})
		})
	}
	all.Wait()
	for _, part := range counts {
		n.Sectors, n.Halves = n.Sectors+part.Sectors, n.Halves+part.Halves
	}
	return n, errors.Join(append(errs, c.last(&n))...)
}

// last corrects the count for the last page, which may have fewer sectors than its byte.
func (c *File) last(n *Count) error {
	at := c.BitmapLen() - 1
	if at < 0 || c.full(at) == 0xff {
		return nil
	}
	var b [1]byte
	if err := fill(c.f, b[:], c.BitmapAt()+at); err != nil {
		return err
	}
	n.Beyond = int64(bits.OnesCount8(b[0] &^ c.full(at)))
	if b[0] == c.full(at) {
		n.Halves--
	}
	return nil
}

// add counts, as much at once as is the same, else eight bytes.
func (n *Count) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		if k := alike(b); k > 0 {
			n.Sectors += int64(k) * int64(bits.OnesCount8(b[0]))
			if b = b[k:]; len(b) < 8 {
				break
			}
		}
		w := binary.NativeEndian.Uint64(b)
		n.Sectors += int64(bits.OnesCount64(w))
		n.Halves += int64(bits.OnesCount64(some(w) & some(^w)))
	}
	for _, v := range b {
		n.Sectors += int64(bits.OnesCount8(v))
		if v != 0 && v != 0xff {
			n.Halves++
		}
	}
}

// alike is how many bytes at the beginning are all 0, or all 0xff, in large pieces.
func alike(b []byte) (n int) {
	of := uniform(b[0])
	for n+len(of) <= len(b) && bytes.Equal(b[n:n+len(of)], of) {
		n += len(of)
	}
	return n
}

// some has a bit for each byte of w that is not zero.
func some(w uint64) uint64 {
	const low = 0x7f7f7f7f7f7f7f7f
	return (w&low + low | w) &^ low
}
