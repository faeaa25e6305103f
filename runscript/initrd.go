package runscript

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/kernel"
)

// initrd judges the file that the kernel unpacks into its first root, and brings it in: the
// one that is set, else what lies beside the kernel.
func (s *start) initrd(in *handle.Dir, image *kernel.Image) error {
	f := s.beside.initrd
	switch {
	case s.m.Initrd != "":
		var err error
		if f, err = s.openFile(in, s.m.Initrd); err != nil {
			return err
		}
		defer f.Close()
		if err := s.judgeSetInitrd(f); err != nil {
			return err
		}
	case f == nil || image == nil:
		return nil
	case !image.Initrd:
		s.Say(fault.InitrdBad, fmt.Sprintf("warning: %s: is not used, since the kernel beside it takes no initrd=", f.Path))
		return nil
	}
	if err := s.judgeInitrd(f); err != nil {
		return err
	}
	s.plan("check", "%s: %d bytes, for the guest's first root", f.Path, f.Stat.Size)
	return s.room.Bring(f, initrdName, jail.ReadOnly)
}

func (s *start) judgeSetInitrd(f *handle.File) error {
	if err := f.Regular(); err != nil {
		return err
	}
	if path.IsAbs(s.m.Initrd) {
		return f.RootsAlone()
	}
	if !s.mayOwn(f.Stat.Uid) {
		return fault.InitrdBad.Permanent("%s: belongs to user %d, neither %s nor root (try: chown %s %s)", f.Path, f.Stat.Uid, s.m.User.Name, s.m.User.Name, f.Path)
	}
	return nil
}

// judgeInitrd: the kernel goes on without one that it cannot read (arch/um/kernel/initrd.c),
// to whatever root= is, and panics when its memory cannot hold the file and what it unpacks.
func (s *start) judgeInitrd(f *handle.File) error {
	switch most := s.m.Mem / 2; {
	case f.Stat.Size == 0:
		return fault.InitrdBad.Permanent("%s: is empty, no initrd", f.Path)
	case f.Stat.Size > int64(most):
		return fault.InitrdBad.Permanent("%s: is %d bytes: of %v of RAM (settings/mem) it may take half", f.Path, f.Stat.Size, s.m.Mem)
	}
	return s.readable(f)
}

// readable: by the user.
func (s *start) readable(f *handle.File) error {
	err := handle.As(s.m.User.UID, s.m.User.GID, func() error {
		r, err := f.Reopen(unix.O_RDONLY)
		if err == nil {
			r.Close()
		}
		return err
	})
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fault.InitrdBad.Permanent("%s: %s cannot read it (try: chmod a+r %s)", f.Path, s.m.User.Name, f.Path)
	}
	return err
}
