package radvd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A lock lets one run at a time write a file, and remembers what radvd was last
// told of: a run that was killed between the two would else leave radvd with the
// old file for good. It is in /run, for after a boot radvd has read the file.
type lock struct {
	*os.File
	fresh bool // nobody has written the file since the boot
}

func (f *file) lockName() string {
	sum := sha256.Sum256([]byte(f.name))
	return fmt.Sprintf("/run/uml-net-radvd-%x", sum[:8])
}

func (f *file) lock(ctx context.Context) (*lock, error) {
	name := f.lockName()
	const flags = os.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK
	file, err := os.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, 0o600)
	fresh := err == nil
	if errors.Is(err, unix.EEXIST) {
		file, err = os.OpenFile(name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	// Asked again and again, since a wait in flock(2) could not be ended.
	const patience = time.Minute
	for end := time.Now().Add(patience); ; {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return &lock{file, fresh}, nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			err = &os.PathError{Op: "flock", Path: name, Err: err}
		case time.Now().After(end):
			err = fault.Temporary("%s: another uml-net radvd has held it for %v (try: fuser -v %s)", name, patience, name)
		case ctx.Err() != nil:
			err = ctx.Err()
		default:
			time.Sleep(20 * time.Millisecond)
			continue
		}
		file.Close()
		return nil, err
	}
}

func (l *lock) close() { l.Close() }

func digest(text string) string { return fmt.Sprintf("%x\n", sha256.Sum256([]byte(text))) }

// told says whether radvd was told of this text. After a boot it needs not be, if
// no run has written since.
func (l *lock) told(text string) (bool, error) {
	if l.fresh {
		return true, l.remember(text)
	}
	was, err := io.ReadAll(io.NewSectionReader(l, 0, 1000))
	return string(was) == digest(text), err
}

// forget is before the file is written.
func (l *lock) forget() error {
	l.fresh = false
	return l.Truncate(0)
}

func (l *lock) remember(text string) error {
	_, err := l.WriteAt([]byte(digest(text)), 0)
	return err
}
