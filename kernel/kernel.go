// Package kernel judges a user-mode Linux kernel image: whether this host can
// run it, and which of the arguments that a start would give it it understands.
// All is read from the image, nothing is started: what a kernel's --help prints
// is not all that it takes, and a start cannot afford the run.
package kernel

import (
	"encoding/binary"
	"errors"
	"io"

	"uml/fault"
	"uml/program"
)

// An Image is a kernel image. It reads on from the file that it was made of,
// which must stay open as long.
type Image struct {
	*program.Program
	Vector   bool // has the vector driver: vec0=
	Legacy   bool // has the old network driver: eth0=, gone in 6.16
	NoReboot bool // takes noreboot: a reboot of the guest ends the kernel
	Seccomp  bool // takes seccomp=: a guest's processes without ptrace, from 6.16 on
	Initrd   bool // takes initrd=
}

var errOther = fault.KernelBad.Permanent("is a program, but not a user-mode Linux kernel (one is built with ARCH=um)")

// Inspect judges the file r. Every judgement is a permanent fault in words that
// follow the file's name; a failed read stays what it was.
func Inspect(r io.ReaderAt) (*Image, error) {
	p, err := program.Inspect(r, "kernel image")
	if err != nil {
		return nil, err
	}
	i := &Image{Program: p}
	own, err := i.own()
	if err != nil {
		return nil, err
	}
	look := i.drivers
	if !own {
		look = i.search
	}
	if err := look(); err != nil {
		return nil, err
	}
	return i, nil
}

// own looks through user-mode Linux's own table of arguments, which every image
// has and no other program.
func (i *Image) own() (found bool, err error) {
	err = i.table(".uml.setup.init", paramSize, func(name uint64) error {
		found = found || i.Mapped(name)
		return errors.Join(i.mark(&i.NoReboot, name, "noreboot"), i.mark(&i.Seccomp, name, "seccomp="), i.mark(&i.Initrd, name, "initrd="))
	})
	return found, err
}

// drivers looks through the table of all kernels, where each driver has an entry
// for its device name.
func (i *Image) drivers() error {
	return i.table(".init.setup", obsParamSize, func(name uint64) error {
		return errors.Join(i.mark(&i.Vector, name, "vec\x00"), i.mark(&i.Legacy, name, "eth\x00"))
	})
}

// mark notes that a name is the wanted one.
func (i *Image) mark(has *bool, name uint64, want string) error {
	found, err := i.HasAt(name, want)
	*has = *has || found
	return err
}

// Both tables are arrays of structures that begin with a pointer to a string.
const (
	paramSize    = 16 // struct uml_param: str, setup_func (arch/um/include/shared/init.h)
	obsParamSize = 24 // struct obs_kernel_param: str, setup_func, early (include/linux/init.h)
)

func (i *Image) table(section string, size int, each func(name uint64) error) error {
	b, err := i.Section(section)
	for ; len(b) >= size && err == nil; b = b[size:] {
		err = each(binary.LittleEndian.Uint64(b))
	}
	return err
}

// search is for an image without sections (sstrip), or with pointers that only a
// relocation fills in: the texts themselves are looked for in all that it loads.
// That may find the name of a driver that is not there, and takes some ms.
func (i *Image) search() error {
	uml := false
	for _, s := range []struct {
		text string
		has  *bool
	}{
		{"uml_dir=", &uml},
		{"\x00noreboot\x00", &i.NoReboot},
		{"\x00seccomp=\x00", &i.Seccomp},
		{"\x00initrd=\x00", &i.Initrd},
		{"\x00vec\x00", &i.Vector},
		{"\x00eth\x00", &i.Legacy},
	} {
		var err error
		if *s.has, err = i.Contains(s.text, ""); err != nil {
			return err
		}
		if !uml {
			return errOther
		}
	}
	return nil
}
