package disc

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// make makes the file, which must not be there yet: whole or not at all, since it has
// no name until fill is done and everything is on the disc.
func (p *Place) make(fill func(f *os.File) error) error {
	if _, err := p.dir.Lstat(p.name); err == nil {
		return p.exists()
	}
	return p.whole(fill, func(f *os.File) error {
		err := p.link(f, p.name)
		if errors.Is(err, unix.EEXIST) {
			return p.exists()
		}
		return err
	})
}

func (p *Place) exists() error {
	return fault.AlreadyThere.Permanent("%s: is there already (remove it, or take another name)", p.Path)
}

// replace puts another file in the place of old, which is open and locked, with the same
// owner and permissions. Who opens it by name has the one or the other.
func (p *Place) replace(old *os.File, fill func(f *os.File) error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(old.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", p.Path, err)
	}
	return p.whole(fill, func(f *os.File) error {
		if err := errors.Join(f.Chown(int(st.Uid), int(st.Gid)), f.Chmod(os.FileMode(st.Mode&0o777))); err != nil {
			return err
		}
		if now, err := p.dir.Lstat(p.name); err != nil || now.Dev != st.Dev || now.Ino != st.Ino {
			return errors.Join(fault.Temporary("%s: was replaced or deleted meanwhile, and is left as it is", p.Path), err)
		}
		return p.swap(f)
	})
}

// swap: a file without a name can take only one that nobody has. The other one is there
// for the blink of an eye; if we are killed in it, the next run removes it.
func (p *Place) swap(f *os.File) error {
	beside := "." + p.name + ".new"
	if err := unix.Unlinkat(p.dir.Fd(), beside, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: p.dir.Join(beside), Err: err}
	}
	if err := p.link(f, beside); err != nil {
		return err
	}
	if err := unix.Renameat(p.dir.Fd(), beside, p.dir.Fd(), p.name); err != nil {
		unix.Unlinkat(p.dir.Fd(), beside, 0)
		return fmt.Errorf("rename %s to %s: %w", p.dir.Join(beside), p.Path, err)
	}
	return nil
}

// whole makes a file without a name, has it filled, and named when it is on the disc.
func (p *Place) whole(fill, name func(f *os.File) error) error {
	f, err := p.unnamed()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fill(f); err != nil {
		return room(err)
	}
	if p.NoSync {
		return name(f)
	}
	if err := f.Sync(); err != nil {
		return room(err)
	}
	if err := name(f); err != nil {
		return err
	}
	return p.sync()
}

// unnamed is a new file of the owner's. The host's own are for guests to read.
func (p *Place) unnamed() (f *os.File, err error) {
	mode := uint32(0o600)
	if p.Machine == nil {
		mode = 0o644
	}
	err = p.as(func() error {
		fd, err := unix.Openat(p.dir.Fd(), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
		if err == nil {
			f = os.NewFile(uintptr(fd), p.Path)
		}
		return err
	})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR):
		return nil, fault.Permanent("%s: this filesystem cannot make a file that has no name yet (O_TMPFILE), which is how discs are made", p.Path)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM):
		return nil, fault.Permanent("%s: cannot be made: %w", p.Path, err)
	case err != nil:
		return nil, fmt.Errorf("make %s: %w", p.Path, err)
	}
	return f, nil
}

// link gives it a name in the directory that is held: whoever's that is, nothing else
// can be meant.
func (p *Place) link(f *os.File, name string) error {
	fd := "/proc/thread-self/fd/" + strconv.Itoa(int(f.Fd()))
	if err := unix.Linkat(unix.AT_FDCWD, fd, p.dir.Fd(), name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.PathError{Op: "make", Path: p.dir.Join(name), Err: err}
	}
	return nil
}

// sync puts the name on the disc.
func (p *Place) sync() error {
	fd, err := unix.Openat(p.dir.Fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the directory of %s: %w", p.Path, err)
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil {
		return fmt.Errorf("sync the directory of %s: %w", p.Path, err)
	}
	return nil
}

// room: a full filesystem may be less full later.
func room(err error) error {
	if isFull(err) {
		return fault.Temporary("%w; nothing was changed", err)
	}
	return err
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
