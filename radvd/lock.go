package radvd

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A lock lets one run at a time write a file. While there is a word in it, radvd is
// still to be told: a run that is killed between the two would else leave radvd with
// the old file for good. It is in /run, for after a boot radvd reads the file anew.
type lock struct{ *os.File }

func (f *file) lockName() string {
	sum := sha256.Sum256([]byte(f.name))
	return fmt.Sprintf("/run/uml-net-radvd-%x", sum[:8])
}

func (f *file) lock(ctx context.Context) (*lock, error) {
	name := f.lockName()
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if st, err := file.Stat(); err == nil && !st.Mode().IsRegular() {
		file.Close()
		return nil, fault.Permanent("%s: is no regular file (try: rm %s)", name, name)
	}
	// Asked again and again, since a wait in flock(2) could not be ended.
	const patience = time.Minute
	for end := time.Now().Add(patience); ; {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return &lock{file}, nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			err = &os.PathError{Op: "flock", Path: name, Err: err}
		case time.Now().After(end):
			err = fault.Busy.Temporary("%s: another uml-net radvd has held it for %v (try: fuser -v %s)", name, patience, name)
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

// owed says whether radvd is to be told of what an earlier run wrote.
func (l *lock) owed() (bool, error) {
	st, err := l.Stat()
	return err == nil && st.Size() > 0, err
}

// owe is before the file is written, settle after radvd was told.
func (l *lock) owe() error {
	_, err := l.WriteAt([]byte("radvd is to be told\n"), 0)
	return err
}

func (l *lock) settle() error { return l.Truncate(0) }
