package estate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A hold is a name of the machines root that nobody else makes, takes apart, copies, renames
// or moves meanwhile. It is a directory of staging, locked: who can read one can lock it, and
// a machine's own everybody can read. Programs that we start keep it too.
type hold struct{ *os.File }

// Close lets the name go.
func (h *hold) Close() error { return errors.Join(os.Remove(h.Name()), h.File.Close()) }

// holdName does not wait: another who is at work on it is an error. Staging is made.
func holdName(root, name string) (*hold, error) {
	in := filepath.Join(root, staging)
	if err := ignore(os.Mkdir(in, 0o700), os.ErrExist); err != nil {
		return nil, err
	}
	f, err := holdDir(filepath.Join(in, "."+name), false)
	if errors.Is(err, errBusy) {
		return nil, fault.Temporary("%s: %w", filepath.Join(root, name), errBusy)
	}
	if err != nil {
		return nil, err
	}
	return &hold{f}, nil
}

// forget removes what is left of the hold of one who was killed. It holds nothing.
func forget(root, name string) error {
	if _, err := os.Lstat(filepath.Join(root, staging, "."+name)); err != nil {
		return ignore(err, os.ErrNotExist)
	}
	h, err := holdName(root, name)
	if err == nil {
		err = h.Close()
	}
	return ignore(err, errBusy)
}

// holdStaging waits until no other claims anything.
func holdStaging(root string) (*os.File, error) {
	return holdDir(filepath.Join(root, staging), true)
}

// holdDir makes a directory of root's alone and locks it.
func holdDir(dir string, wait bool) (*os.File, error) {
	for range 10 {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		f, err := open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed between the two
		}
		if err == nil {
			if err = f.Chmod(0o700); err != nil {
				f.Close()
			}
		}
		if err == nil {
			err = flock(f, wait)
		}
		if err != nil {
			return nil, err
		}
		var mine, there unix.Stat_t
		if unix.Fstat(int(f.Fd()), &mine) == nil && unix.Lstat(dir, &there) == nil && mine.Ino == there.Ino && mine.Dev == there.Dev {
			return f, nil
		}
		f.Close()
	}
	return nil, fault.Temporary("%s: removed again and again", dir)
}

func open(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

var errBusy = errors.New("another uml-machine is at work on it")

func flock(f *os.File, wait bool) error {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	err := unix.EINTR
	for errors.Is(err, unix.EINTR) {
		if err, _ = unix.Flock(int(f.Fd()), how).(unix.Errno); err == 0 {
			return nil
		}
	}
	defer f.Close()
	if err == unix.EWOULDBLOCK {
		return fault.Temporary("%s: %w", f.Name(), errBusy)
	}
	return fmt.Errorf("lock %s: %w", f.Name(), err)
}
