package cow

import (
	"errors"
	"fmt"
	"io"
	"os"

	"uml/fault"
)

// A File is a COW file that is open.
type File struct {
	*Header
	f *os.File
}

// Open takes a file whose header Read likes. The kernel makes one of its full length at
// once, so that a shorter one has lost something.
func Open(f *os.File) (*File, error) {
	h, err := Read(f)
	if err != nil {
		return nil, named(f, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if whole := h.DataAt() + h.Size; st.Size() < whole {
		return nil, fault.Permanent("%s: is %d bytes of %d: it was cut off", f.Name(), st.Size(), whole)
	}
	return &File{h, f}, nil
}

// named says which file, unless the error does (os.PathError).
func named(f *os.File, err error) error {
	var path *os.PathError
	if err == nil || errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%s: %w", f.Name(), err)
}

// A Pair is a COW file and its backing file, of the size that the header says: the
// disc as the guest has it, to be read by ReadAt.
type Pair struct {
	*File
	backing *os.File
}

// What With may say of a pair that is returned all the same.
var (
	ErrChanged = errors.New("the backing file has changed since")
	ErrMerging = errors.New("is being merged into its backing file")
)

// With joins a backing file, which must have the size that the header says. ErrChanged
// if it was changed at another time than the header says: the pair is right all the same
// if what is in it was not changed. ErrMerging if MergeBack did not come to its end: the
// pair is right, but only MergeBack may go on with it.
func (c *File) With(backing *os.File) (*Pair, error) {
	st, err := backing.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() != c.Size {
		return nil, fault.Permanent("%s: %w: %s is %d bytes, and was %d (bring the old one back)", c.f.Name(), ErrChanged, backing.Name(), st.Size(), c.Size)
	}
	p := &Pair{c, backing}
	if c.Merging {
		return p, fault.Permanent("%s: %w, which was not finished (try: uml-disk cow merge %s --in-place)", c.f.Name(), ErrMerging, c.f.Name())
	}
	if now := st.ModTime().Unix(); c.Version.seconds(now) != c.MTime {
		return p, fault.Permanent("%s: %w: %s was changed at @%d, and is known as of @%d (if what is in it is the same, as after cp without -p: touch -d @%d %s; else bring the old one back)",
			c.f.Name(), ErrChanged, backing.Name(), now, c.MTime, c.MTime, backing.Name())
	}
	return p, nil
}

// seconds is a time as the version's header has room for it.
func (v Version) seconds(t int64) int64 {
	if v == Broken {
		return t
	}
	return int64(uint32(t))
}

// ReadAt reads the disc: from the COW file what is there, else from the backing file.
func (p *Pair) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("%s: read at %d", p.f.Name(), off)
	}
	if off >= p.Size {
		return 0, io.EOF
	}
	want := min(int64(len(b)), p.Size-off)
	err = p.runs(off/Sector, (off+want-1)/Sector+1, func(from, to int64, own bool) error {
		begin, end := max(from*Sector, off), min(to*Sector, off+want)
		part := b[begin-off : end-off]
		if own {
			return fill(p.f, part, p.DataAt()+begin)
		}
		return fill(p.backing, part, begin)
	})
	if err != nil {
		return 0, err
	}
	if want < int64(len(b)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

func fill(f *os.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return fault.Permanent("%s: ends at %d, in the middle of what the disc has there", f.Name(), off+int64(n))
	}
	return err
}
