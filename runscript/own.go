package runscript

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/settings"
	"uml/swap"
)

// What a start makes in the jail is the user's. In a jail that is the user's too
// it is made with the user's rights, so that a link put in the way leads root
// nowhere; in root's jail nobody can put one there, and it is given away by
// descriptor.

// making does what needs to be done in the jail as its owner.
func (s *start) making(in *handle.Dir, do func() error) error {
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if st.Uid == 0 {
		return do()
	}
	return handle.As(s.m.User.UID, s.m.User.GID, do)
}

func (s *start) give(fd int, name string) error {
	if err := unix.Fchownat(fd, "", s.m.User.UID, s.m.User.GID, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("give %s to %s: %w", name, s.m.User.Name, err)
	}
	return nil
}

// umlDir is where the kernel puts its mconsole socket and pid file. One that is
// not there is made at the latest moment, so that a start that fails leaves none.
func (s *start) umlDir(in *handle.Dir) error {
	d, err := in.Dir("uml")
	s.noUml = errors.Is(err, unix.ENOENT)
	if s.noUml {
		s.plan("make", "%s: directory of %s", in.Join("uml"), s.m.User.Name)
		return s.room.Promise(in.Join("uml"), "uml", jail.ReadWrite)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fault.JailBad.Permanent("%s: is not a directory (remove it)", in.Join("uml"))
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := s.ownDir(in, d); err != nil {
		return err
	}
	return s.room.BringDir(d, "uml", jail.ReadWrite)
}

func (s *start) makeUml() error {
	if !s.noUml {
		return nil
	}
	in, err := s.openJail()
	if err != nil {
		return err
	}
	defer in.Close()
	err = s.making(in, func() error {
		err := unix.Mkdirat(in.Fd(), "uml", 0o700)
		s.madeUml = err == nil // even if making fails then
		return err
	})
	if err != nil {
		return fmt.Errorf("make %s: %w", in.Join("uml"), err)
	}
	return s.umlDir(in)
}

// unmakeUml takes the uml/ of a start away that failed after all. What the user has
// put there meanwhile is his.
func (s *start) unmakeUml() error {
	if !s.madeUml {
		return nil
	}
	in, err := s.openJail()
	if err != nil {
		return err
	}
	defer in.Close()
	err = s.making(in, func() error { return unix.Unlinkat(in.Fd(), "uml", unix.AT_REMOVEDIR) })
	for _, his := range []error{unix.ENOTEMPTY, unix.ENOENT, unix.ENOTDIR} {
		if errors.Is(err, his) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", in.Join("uml"), err)
	}
	return nil
}

// ownDir gives uml/ to the user where a start was interrupted before it did.
func (s *start) ownDir(in, d *handle.Dir) error {
	outer, err := in.Stat()
	if err != nil {
		return err
	}
	st, err := d.Stat()
	if err != nil {
		return err
	}
	if int(st.Uid) == s.m.User.UID {
		return nil
	}
	if outer.Uid == 0 && st.Uid == 0 && !s.DryRun {
		return s.give(d.Fd(), d.Path)
	}
	return fault.JailBad.Permanent("%s: belongs to user %d, not to %s (try: chown %s %s)", d.Path, st.Uid, s.m.User.Name, s.m.User.Name, d.Path)
}

const (
	swapName = "swap"
	swapTemp = ".swap.new"
)

// findSwap is the swap that is there; nil: none is wanted, or it must be made.
func (s *start) findSwap(in *handle.Dir) (*handle.File, error) {
	if s.m.Swap == 0 {
		return nil, nil
	}
	return s.openSwap(in)
}

// swap makes jail/swap if f, what was found of it, is not there, of another size or
// bears no signature. What was in it is nobody's: the guest is down.
func (s *start) swap(in *handle.Dir, f *handle.File) (err error) {
	if s.m.Swap == 0 {
		return nil
	}
	if f == nil {
		s.plan("make", "%s: %v, sparse, of %s", in.Join(swapName), s.m.Swap, s.m.User.Name)
		if s.DryRun {
			return s.room.Promise(in.Join(swapName), swapName, jail.ReadWrite)
		}
		if err := s.making(in, func() error { return s.makeSwap(in) }); err != nil {
			return swapFault(in, err)
		}
		if f, err = s.openSwap(in); err != nil {
			return err
		}
		if f == nil {
			return fault.JailBad.Temporary("%s: changed while it was made", in.Join(swapName))
		}
		defer f.Close()
	}
	if err := s.room.Bring(f, swapName, jail.ReadWrite); err != nil {
		return err
	}
	_, err = s.lockDisc(f, false)
	return err
}

// openSwap returns nil if the swap must be made anew.
func (s *start) openSwap(in *handle.Dir) (*handle.File, error) {
	f, err := in.Open(swapName)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.judgeSwap(f); err != nil {
		f.Close()
		return nil, err
	}
	good, err := s.goodSwap(f)
	if err != nil || !good {
		f.Close()
		return nil, err
	}
	return f, nil
}

// judgeSwap refuses what would be destroyed by making a swap in its place.
func (s *start) judgeSwap(f *handle.File) error {
	if err := f.Regular(); err != nil {
		return err
	}
	if !s.mayOwn(f.Stat.Uid) || f.Stat.Nlink != 1 {
		return fault.JailBad.Permanent("%s: belongs to user %d and has %d names; a swap is %s's alone (remove it)", f.Path, f.Stat.Uid, f.Stat.Nlink, s.m.User.Name)
	}
	return nil
}

func (s *start) goodSwap(f *handle.File) (bool, error) {
	if settings.Size(f.Stat.Size) != s.m.Swap || int(f.Stat.Uid) != s.m.User.UID {
		return false, nil
	}
	var page [swap.PageSize]byte
	r, err := f.Reopen(unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if _, err := r.ReadAt(page[:], 0); err != nil {
		return false, fmt.Errorf("read %s: %w", f.Path, err)
	}
	return swap.Valid(page[:], f.Stat.Size), nil
}

// makeSwap makes the file beside its place and moves it there when it is whole.
// It is sparse: blocks come as the guest swaps.
func (s *start) makeSwap(in *handle.Dir) error {
	if err := unix.Unlinkat(in.Fd(), swapTemp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove an unfinished %s: %w", in.Join(swapTemp), err)
	}
	fd, err := unix.Openat(in.Fd(), swapTemp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make %s: %w", in.Join(swapTemp), err)
	}
	f := os.NewFile(uintptr(fd), in.Join(swapTemp))
	defer f.Close()
	if err := s.fillSwap(f); err != nil {
		unix.Unlinkat(in.Fd(), swapTemp, 0)
		return err
	}
	if err := unix.Renameat(in.Fd(), swapTemp, in.Fd(), swapName); err != nil {
		unix.Unlinkat(in.Fd(), swapTemp, 0)
		return fmt.Errorf("rename %s to %s: %w", f.Name(), swapName, err)
	}
	return nil
}

func (s *start) fillSwap(f *os.File) error {
	if err := f.Truncate(int64(s.m.Swap)); err != nil {
		return err
	}
	page := swap.Header(s.m.Swap)
	if _, err := f.WriteAt(page[:], 0); err != nil {
		return err
	}
	if err := s.give(int(f.Fd()), f.Name()); err != nil {
		return err
	}
	return f.Sync()
}

func swapFault(in *handle.Dir, err error) error {
	if errors.Is(err, unix.EFBIG) {
		return fault.NoRoom.Permanent("%s: larger than a file can be there: %w", in.Join(swapName), err)
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.NoRoom.Temporary("%s: %w", in.Join(swapName), err)
	}
	return fmt.Errorf("%s: %w", in.Join(swapName), err)
}
