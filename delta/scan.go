package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"uml/sparse"
)

// A part is a piece of a file, with its sums as they were and as they are.
type part struct {
	at       int64
	data     []byte
	was, now []byte
	short    []byte // for who compresses it
}

// scan calls do for each piece in which the file has data, or its sums say that it had, by two
// workers at once: one reads while the other computes. The sums are written afterwards. That the
// file has become shorter than size is an error; what it has grown by is not looked at.
func scan(ctx context.Context, f *os.File, size int64, s *Sums, told sparse.Told, do func(*part) error) error {
	pieces := make(chan int64)
	var work sync.WaitGroup
	var mu sync.Mutex
	left := size
	tell := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		if left -= n; told != nil && n > 0 {
			told(n)
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for range 2 {
		work.Go(func() {
			p := &part{data: make([]byte, piece), was: make([]byte, piece/Block*sumLen), now: make([]byte, 0, piece/Block*sumLen)}
			for at := range pieces {
				n, err := p.one(f, size, s, at, do)
				if err != nil {
					stop(err)
				}
				tell(n)
			}
		})
	}
	err := walk(f, size, s, func(at int64) error {
		select {
		case pieces <- at:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(pieces)
	work.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	tell(left) // what was skipped
	return reaches(f, size)
}

// reaches tells a hole at the end from an end that comes too soon: for the kernel both are no more
// data.
func reaches(f *os.File, size int64) error {
	st, err := f.Stat()
	if err == nil && st.Size() < size {
		err = shorter(f, size)
	}
	return err
}

func shorter(f *os.File, size int64) error {
	return fmt.Errorf("%s: was made shorter than %d bytes meanwhile", f.Name(), size)
}

func (p *part) one(f *os.File, size int64, s *Sums, at int64, do func(*part) error) (int64, error) {
	n := min(piece, size-at)
	p.at, p.data = at, p.data[:n]
	if got, err := f.ReadAt(p.data, at); err != nil && (err != io.EOF || int64(got) < n) {
		if err == io.EOF {
			err = shorter(f, size)
		}
		return 0, err
	}
	p.was = p.was[:blocks(n)*sumLen]
	if err := s.get(p.was, at/Block); err != nil {
		return 0, err
	}
	p.now = sum(p.now, p.data)
	if err := do(p); err != nil {
		return 0, err
	}
	return n, s.put(p.now, at/Block)
}

// walk calls do for the pieces that are not holes of both.
func walk(f *os.File, size int64, s *Sums, do func(at int64) error) error {
	for at := int64(0); at < size; at += piece {
		next, err := data(f, at, size)
		if err != nil {
			return err
		}
		known, err := data(s.f, at/Block*sumLen, blocks(size)*sumLen)
		if err != nil {
			return err
		}
		if next = min(next, known/sumLen*Block); next >= size {
			return nil
		}
		at = max(at, next-next%piece)
		if err := do(at); err != nil {
			return err
		}
	}
	return nil
}

// data is where the next data of a file is, end if there is none.
func data(f *os.File, from, end int64) (int64, error) {
	at, err := unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return end, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "look for holes in", Path: f.Name(), Err: err}
	}
	return at, nil
}

// Rebuild makes the sums anew, of what the file has.
func Rebuild(ctx context.Context, f *os.File, size int64, s *Sums, told sparse.Told) error {
	if err := s.f.Truncate(0); err != nil {
		return err
	}
	return scan(ctx, f, size, s, told, func(*part) error { return nil })
}
