package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Rescan has s6-svscan look through the service directory, if it is one of its: by
// itself it does so only when told. svscan and runsvdir look every five seconds.
func Rescan(service string) error {
	name := path.Join(service, ".s6-svscan/control")
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte{'a'}); err != nil && !errors.Is(err, unix.EPIPE) { // it has ended meanwhile
		return fmt.Errorf("write to %s: %w", name, err)
	}
	return nil
}
