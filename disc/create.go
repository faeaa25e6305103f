package disc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
	"uml/sparse"
)

// Make is what a new disc is to be.
type Make struct {
	Size settings.Size
	FS   string // ext4, or none
	Full bool   // take all of its room now
}

// Create makes a disc of zeros, with a filesystem in it unless that is to be none.
func Create(ctx context.Context, file string, m Make) error {
	p, err := Find(file)
	if err != nil {
		return err
	}
	defer p.Close()
	// Of what has nothing in it a power cut leaves all or nothing by itself: name and size
	// are in one journal.
	p.NoSync = m.FS == "none" && !m.Full
	return p.make(func(f *os.File) error { return p.fill(ctx, f, m) })
}

func (p *Place) fill(ctx context.Context, f *os.File, m Make) error {
	if m.Size < Least {
		return fault.Permanent("%s: %v is too small for a disc (%v at the least)", p.Path, m.Size, Least)
	}
	if err := f.Truncate(int64(m.Size)); err != nil {
		return tooLarge(p, err)
	}
	if m.Full {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(m.Size)); err != nil {
			return fmt.Errorf("%s: take %v: %w", p.Path, m.Size, err)
		}
	}
	if m.FS == "none" {
		return nil
	}
	return p.makeFS(ctx, f, m.FS)
}

// Least is the smallest disc in bytes: a sector would do for the kernel, and no
// filesystem.
const Least settings.Size = 64 << 10

func tooLarge(p *Place, err error) error {
	return fault.Permanent("%s: %w (the filesystem that it would lie on has no files as large)", p.Path, bare(err))
}

// Clone copies a disc. Where the filesystem can share blocks nothing is copied, else only
// what is no hole.
func Clone(ctx context.Context, o Options, from, to string) error {
	src, in, err := openTo(from, read)
	if err != nil {
		return err
	}
	defer src.Close()
	defer in.Close()
	dst, err := o.new(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	return dst.make(func(f *os.File) error {
		told, done := o.work("clone", st.Size())
		defer done()
		_, err := sparse.Clone(ctx, f, in, st.Size(), told)
		return err
	})
}

// openTo finds and opens it.
func openTo(file string, a access) (*Place, *os.File, error) {
	p, err := Find(file)
	if err != nil {
		return nil, nil, err
	}
	f, err := p.open(a)
	if err != nil {
		p.Close()
		return nil, nil, err
	}
	return p, f, nil
}

// Trim makes holes of a disc's blocks that are zeros, and says how much that freed.
func Trim(ctx context.Context, o Options, file string) error {
	p, f, err := openTo(file, write)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	told, done := o.work("trim", st.Size())
	before := allocated(f)
	_, err = sparse.Trim(ctx, f, st.Size(), told)
	done()
	// What is in it is the same, and COW files know their backing file by this time.
	if err := errors.Join(err, p.changedAt(f, st.ModTime())); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // until then the kernel counts what is not yet on the disc
		return err
	}
	fmt.Fprintf(o.Out, "%s: %s freed, %s on disc\n", file, human(max(0, before-allocated(f))), human(allocated(f)))
	return nil
}

func (p *Place) changedAt(f *os.File, t time.Time) error {
	as := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(t.UnixNano())}
	if err := unix.UtimesNanoAt(int(f.Fd()), "", as, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("%s: keep the time of its last change: %w", p.Path, err)
	}
	return nil
}

// allocated is how many bytes a file takes of its filesystem.
func allocated(f *os.File) int64 {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	return st.Blocks * 512
}
