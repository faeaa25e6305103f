package handle

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Replace gives the file name below d, in a directory that is root's alone, another
// content: written beside it as temp, and moved there when it is whole and on the disc.
// Whoever reads it has the old one or the new.
func (d *Dir) Replace(temp, name, text string) error {
	if err := unix.Unlinkat(d.fd, temp, 0); err != nil && !errors.Is(err, unix.ENOENT) { // left by a power cut
		return &os.PathError{Op: "remove", Path: d.Join(temp), Err: err}
	}
	fd, err := unix.Openat(d.fd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "make", Path: d.Join(temp), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.Join(temp))
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		if err = unix.Renameat(d.fd, temp, d.fd, name); err != nil {
			err = fmt.Errorf("rename %s to %s: %w", d.Join(temp), d.Join(name), err)
		}
	}
	if err != nil {
		unix.Unlinkat(d.fd, temp, 0)
		return err
	}
	return d.sync(path.Dir(name))
}

func (d *Dir) sync(name string) error {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open directory", Path: d.Join(name), Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil {
		return &os.PathError{Op: "sync", Path: d.Join(name), Err: err}
	}
	return nil
}
