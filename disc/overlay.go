package disc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/initramfs"
	"uml/kernel"
)

// initrdEnding is that of the initramfs beside a disc.
const initrdEnding = ".initrd"

// A Booted says which kernel an initramfs is for.
type Booted struct {
	Kernel  string // image; "": that of the machine in whose jail the disc lies
	Modules string // directory that has one directory of modules for each kernel's release
}

// CreateOverlay makes the disc that a guest writes to whose base it shares with others, and
// beside it the initramfs that joins the two: both, or neither. If it is killed between the
// two there is the initramfs, which the next one replaces. In a jail it prints the settings.
func CreateOverlay(ctx context.Context, o Options, base, file string, m Make, b Booted) error {
	below, in, err := openBacking(base, read)
	if err != nil {
		return err
	}
	defer below.Close()
	defer in.Close()
	p, q, err := findBoth(file)
	if err != nil {
		return err
	}
	defer p.Close()
	defer q.Close()
	archive, err := p.archive(b)
	if err != nil {
		return err
	}
	made := false
	err = p.make(func(f *os.File) error {
		if err := p.fill(ctx, f, m); err != nil {
			return err
		}
		var err error
		made, err = q.initrd(archive)
		return err
	})
	if err != nil && made {
		err = errors.Join(err, q.remove())
	}
	if err == nil && p.Machine != nil {
		fmt.Fprintf(o.Out, "ubd0: %s flags=r\nubd1: %s\ninitrd: %s\n", p.settingOf(below), p.Setting(), q.Setting())
	}
	return err
}

func findBoth(file string) (disc, initrd *Place, err error) {
	if disc, err = Find(file); err != nil {
		return nil, nil, err
	}
	if initrd, err = Find(file + initrdEnding); err != nil {
		disc.Close()
		return nil, nil, err
	}
	return disc, initrd, nil
}

// remove takes away what was just made. In a jail its user may have put another there
// meanwhile, which is his loss.
func (p *Place) remove() error {
	return p.as(func() error {
		if err := unix.Unlinkat(p.dir.Fd(), p.name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "remove", Path: p.Path, Err: err}
		}
		return nil
	})
}

// Initrd writes the initramfs alone, or anew, as for another kernel.
func Initrd(file string, b Booted) error {
	p, err := Find(file)
	if err != nil {
		return err
	}
	defer p.Close()
	archive, err := p.archive(b)
	if err != nil {
		return err
	}
	_, err = p.initrd(archive)
	return err
}

// initrd makes the file, or replaces one of ours.
func (p *Place) initrd(archive func(f *os.File) error) (made bool, err error) {
	if _, err := p.dir.Lstat(p.name); errors.Is(err, unix.ENOENT) {
		err := p.make(archive)
		return err == nil, err
	}
	old, err := p.open(write)
	if err != nil {
		return false, err
	}
	defer old.Close()
	if err := initramfs.Check(old); err != nil {
		return false, fmt.Errorf("%s: %w", p.Path, err)
	}
	return false, p.replace(old, archive)
}

// archive reads all that goes into one, and returns what writes it.
func (p *Place) archive(b Booted) (write func(f *os.File) error, err error) {
	needs := initramfs.Options{}
	if needs.Init, err = initramfs.Find(initramfs.OverlayInit); err != nil {
		return nil, err
	}
	if needs.Modules, err = p.modules(b); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := initramfs.Write(&text, needs); err != nil {
		return nil, err
	}
	return func(f *os.File) error {
		_, err := f.Write(text.Bytes())
		return err
	}, nil
}

// modules are what the kernel needs for overlays: none if it has them built in.
func (p *Place) modules(b Booted) ([]string, error) {
	at, err := p.image(b)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return nil, err
	}
	f, err := at.Reopen(unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := kernel.Inspect(f)
	if err == nil && !i.Initrd {
		err = fault.Permanent("takes no initrd= (a kernel with CONFIG_BLK_DEV_INITRD does)")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.Path, err)
	}
	if has, err := i.Overlay(); err != nil || has {
		return nil, err
	}
	release, err := i.Release()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.Path, err)
	}
	return initramfs.Modules(path.Join(b.Modules, release), "overlay")
}

// image is the kernel: one in a jail is taken for hostile.
func (p *Place) image(b Booted) (f *handle.File, err error) {
	switch name := b.Kernel; {
	case name != "":
		f, err = handle.Open(name)
	case p.Machine == nil:
		return nil, fault.Permanent("%s: lies in no machine's jail, so the kernel must be named (try --kernel /usr/bin/linux.uml)", p.Path)
	case path.IsAbs(p.Machine.Kernel):
		f, err = handle.Open(p.Machine.Kernel)
	default:
		f, err = p.jailed(p.Machine.Kernel)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fault.Permanent("the kernel: %w", err)
	}
	return f, err
}

func (p *Place) jailed(name string) (*handle.File, error) {
	m, err := handle.OpenDir(p.Machine.Dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Open(path.Join("jail", name))
}
