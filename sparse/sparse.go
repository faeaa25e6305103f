// Package sparse copies, clones and thins files that are mostly holes, as discs
// are, without reading what is not there.
//
// It moves bytes between descriptors: who may have them, and whether they may be
// changed meanwhile, is for others to see to. A file that gets shorter while it is
// copied is an error, one that grows is copied up to the end that was asked for.
package sparse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Told is told of so many more bytes of the file that are done, holes included. It
// may be nil.
type Told func(bytes int64)

func (t Told) tell(n int64) {
	if t != nil && n > 0 {
		t(n)
	}
}

// Extents calls do for each stretch of [from,to) in which f has data, in order, and
// not for its holes. A filesystem that does not know holes has data everywhere.
func Extents(f *os.File, from, to int64, do func(from, to int64) error) error {
	for from < to {
		begin, err := seek(f, from, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no more
			return reaches(f, to)
		}
		if err != nil {
			return err
		}
		if begin >= to {
			return nil
		}
		end, err := seek(f, begin, unix.SEEK_HOLE)
		if errors.Is(err, unix.ENXIO) {
			return shorter(f, begin)
		}
		if err != nil {
			return err
		}
		end = min(end, to)
		if err := do(begin, end); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// reaches tells a hole at the end from an end that comes too soon.
func reaches(f *os.File, to int64) error {
	st, err := f.Stat()
	if err == nil && st.Size() < to {
		err = shorter(f, st.Size())
	}
	return err
}

func seek(f *os.File, at int64, whence int) (int64, error) {
	n, err := unix.Seek(int(f.Fd()), at, whence)
	if err != nil {
		return 0, &os.PathError{Op: "look for holes", Path: f.Name(), Err: err}
	}
	return n, nil
}

// Clone makes dst, which is empty, what src is in its first size bytes. Where the
// filesystem can share blocks it does, and nothing is copied.
func Clone(ctx context.Context, dst, src *os.File, size int64, told Told) (shared bool, err error) {
	if err := dst.Truncate(size); err != nil {
		return false, err
	}
	if size == 0 {
		return false, nil
	}
	whole := unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_length: uint64(size)}
	if err := unix.IoctlFileCloneRange(int(dst.Fd()), &whole); err == nil {
		told.tell(size)
		return true, nil
	}
	return false, Copy(ctx, dst, src, 0, size, 0, told)
}

// Copy copies the data of src in [from,to) to dst, from offset at on. Where src has
// a hole dst is left as it is.
func Copy(ctx context.Context, dst, src *os.File, from, to, at int64, told Told) error {
	done := from
	err := Extents(src, from, to, func(begin, end int64) error {
		told.tell(begin - done)
		done = end
		return copyRange(ctx, dst, src, begin, end, at+begin-from, told)
	})
	if err != nil {
		return err
	}
	told.tell(to - done)
	return nil
}

// Overwrite is Copy for a dst that has something there already: holes of src become
// holes of dst, or zeros where the filesystem has no holes.
func Overwrite(ctx context.Context, dst, src *os.File, from, to, at int64, told Told) error {
	shift, done := at-from, from
	err := Extents(src, from, to, func(begin, end int64) error {
		if err := Clear(dst, done+shift, begin+shift); err != nil {
			return err
		}
		told.tell(begin - done)
		done = end
		return copyRange(ctx, dst, src, begin, end, begin+shift, told)
	})
	if err != nil {
		return err
	}
	told.tell(to - done)
	return Clear(dst, done+shift, to+shift)
}

// Clear makes [from,to) zeros, by a hole if that can be.
func Clear(f *os.File, from, to int64) error {
	if err := Punch(f, from, to); !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	for from < to {
		n, err := f.WriteAt(zero[:min(block, to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// copyRange shares blocks where the filesystem can. Elsewhere it reads and writes: on
// ext4 copy_file_range(2) moves single pages through a pipe, which is slower than two
// threads, of which one reads while the other writes.
func copyRange(ctx context.Context, dst, src *os.File, from, to, at int64, told Told) error {
	if from >= to { // data became a hole just now; to share no bytes would mean all to the end
		return ctx.Err()
	}
	part := unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_offset: uint64(from), Src_length: uint64(to - from), Dest_offset: uint64(at)}
	if unix.IoctlFileCloneRange(int(dst.Fd()), &part) == nil {
		told.tell(to - from)
		return nil
	}
	if to-from <= piece {
		return readWrite(ctx, dst, src, from, to, at, told)
	}
	var next atomic.Int64
	next.Store(from)
	var mu sync.Mutex
	one := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		told.tell(n)
	}
	var errs [2]error
	var both sync.WaitGroup
	for i := range errs {
		both.Go(func() {
			for errs[i] == nil {
				begin := next.Add(piece) - piece
				if begin >= to {
					return
				}
				errs[i] = readWrite(ctx, dst, src, begin, min(begin+piece, to), at+begin-from, one)
			}
			next.Store(to) // the other need not go on
		})
	}
	both.Wait()
	if errs[0] != nil {
		return errs[0]
	}
	return errs[1]
}

// piece is what is read and written at once: enough to spare system calls, and little
// enough to stay in the processor's cache.
const piece = 1 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, piece); return &b }}

func readWrite(ctx context.Context, dst, src *os.File, from, to, at int64, told Told) error {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	buf := *pooled
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if n == 0 {
			return errors.Join(shorter(src, from), notEOF(err))
		}
		if _, err := dst.WriteAt(buf[:n], at); err != nil {
			return err
		}
		from, at = from+int64(n), at+int64(n)
		told.tell(int64(n))
	}
	return nil
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func shorter(f *os.File, at int64) error {
	return fmt.Errorf("%s: ends at %d, sooner than it did: it was made shorter meanwhile", f.Name(), at)
}

// Punch makes [from,to) a hole: it reads as zeros and takes no room.
func Punch(f *os.File, from, to int64) error {
	if from >= to {
		return nil
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil {
		return &os.PathError{Op: "make a hole in", Path: f.Name(), Err: err}
	}
	return nil
}
