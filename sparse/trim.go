package sparse

import (
	"bytes"
	"context"
	"os"
)

// block is the least that becomes a hole, and the block of all filesystems that
// discs lie on.
const block = 4096

// Trim makes holes of the file's blocks that are nothing but zeros. What it reads as
// does not change, whenever it ends. freed counts the bytes that became holes.
func Trim(ctx context.Context, f *os.File, size int64, told Told) (freed int64, err error) {
	buf := make([]byte, 1<<20)
	done := int64(0)
	err = Extents(f, 0, size, func(from, to int64) error {
		from -= from % block
		told.tell(from - done)
		for from < to {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := f.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
			if n == 0 {
				return err
			}
			err = zeros(buf[:n], func(begin, end int) error {
				freed += int64(end - begin)
				return Punch(f, from+int64(begin), from+int64(end))
			})
			if err != nil {
				return err
			}
			from += int64(n)
			done = from
			told.tell(int64(n))
		}
		return nil
	})
	if err == nil {
		told.tell(size - done)
	}
	return freed, err
}

var zero [block]byte

// zeros calls do for each run of whole blocks of zeros. A block that the file ends in
// is not whole.
func zeros(buf []byte, do func(from, to int) error) error {
	begin := -1
	for at := 0; at < len(buf); at += block {
		if len(buf)-at >= block && bytes.Equal(buf[at:at+block], zero[:]) {
			if begin < 0 {
				begin = at
			}
			continue
		}
		if begin >= 0 {
			if err := do(begin, at); err != nil {
				return err
			}
			begin = -1
		}
	}
	if begin >= 0 {
		return do(begin, len(buf)/block*block)
	}
	return nil
}
