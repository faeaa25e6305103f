package runscript

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/settings"
)

const (
	modulesName   = "modules.img" // in the jail, and beside the kernel
	modulesDevice = 14            // /dev/ubdo, where uml-overlay-init looks for it
)

// What belongs to a kernel lies where it does, as uml-kernel has it: so kernel, initrd and
// modules always fit each other, whichever of them was put in place of another meanwhile.
// nil: there is none.
type beside struct{ initrd, modules *handle.File }

func (b *beside) close() {
	for _, f := range []*handle.File{b.initrd, b.modules} {
		if f != nil {
			f.Close()
		}
	}
}

// lookBeside looks in the directory that the kernel really lies in, whatever links lead to
// it, which only root can change. Of a kernel in the jail nothing but that file is meant.
func (s *start) lookBeside(kernel *handle.File) error {
	if !path.IsAbs(s.m.Kernel) {
		return nil
	}
	real, err := kernel.Real()
	if err != nil {
		return err
	}
	dir, err := handle.OpenDir(path.Dir(real))
	if err != nil {
		return err
	}
	defer dir.Close()
	if s.m.Initrd == "" && !s.m.NoInitrd {
		if s.beside.initrd, err = openBeside(dir, initrdName); err != nil {
			return err
		}
	}
	s.beside.modules, err = openBeside(dir, modulesName)
	return err
}

// openBeside is nil if there is no such file.
func openBeside(dir *handle.Dir, name string) (*handle.File, error) {
	f, err := dir.Open(name)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Regular(), f.RootsAlone()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// modules brings in the disc with the kernel's modules. It is not locked, as the kernel's
// image is not: nobody but root can write it.
func (s *start) modules() error {
	f := s.beside.modules
	if f == nil {
		return nil
	}
	if f.Stat.Size < 512 {
		return fault.DiscBad.Permanent("%s: is %d bytes, no disc", f.Path, f.Stat.Size)
	}
	if err := s.readable(f); err != nil {
		return err
	}
	s.plan("check", "%s: %v, the kernel's modules, as ubd%d", f.Path, settings.Size(f.Stat.Size), modulesDevice)
	return s.room.Bring(f, modulesName, jail.ReadOnly)
}

// with is discs and that one.
func (s *start) with(discs []settings.Disc) []settings.Disc {
	if s.beside.modules != nil {
		discs = append(discs, settings.Disc{N: modulesDevice, File: modulesName, ReadOnly: true})
	}
	return discs
}
