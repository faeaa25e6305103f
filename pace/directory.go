package pace

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A directory is the queue's: *os.Root to reach what is in it, list to read and lock it.
type directory struct {
	*os.Root
	list *os.File
}

// open makes the directory if it is not there. What it lies in is root's.
func open(name string) (*directory, error) {
	root, err := os.OpenRoot(name)
	if errors.Is(err, unix.ENOENT) {
		if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		root, err = os.OpenRoot(name)
	}
	if err != nil {
		return nil, err
	}
	d := &directory{Root: root}
	if d.list, err = root.Open("."); err != nil {
		root.Close()
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(d.list.Fd()), &st); err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0) {
		err = fault.Permanent("it is not root's alone (owner %d, mode %o; remove it)", st.Uid, st.Mode&0o7777)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *directory) close() {
	d.list.Close()
	d.Root.Close()
}

// patience: the directory is locked for as long as it takes to read some names.
const patience = 5 * time.Second

// hold does what needs the directory to stay as it is.
func (d *directory) hold(ctx context.Context, do func() error) error {
	err := unix.Flock(int(d.list.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = d.await(ctx)
	}
	if err != nil {
		return err
	}
	defer unix.Flock(int(d.list.Fd()), unix.LOCK_UN)
	return do()
}

// await sleeps until the lock is there, by another open file: if it comes when nobody
// waits for it any more it goes with that.
func (d *directory) await(ctx context.Context) error {
	f, err := d.Open(".")
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeoutCause(ctx, patience, fault.Temporary("another start holds it for more than %v", patience))
	defer cancel()
	if err := locked(limit, f, unix.LOCK_EX); err != nil {
		return err
	}
	d.list.Close()
	d.list = f
	return nil
}

// locked waits for a lock of f, which is closed if there is an error. Only an end of the
// process ends the system call early.
func locked(ctx context.Context, f *os.File, how int) error {
	got := make(chan error)
	go func() {
		err := unix.Flock(int(f.Fd()), how)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(int(f.Fd()), how)
		}
		if err != nil {
			f.Close()
		}
		select {
		case got <- err:
		case <-ctx.Done():
			f.Close()
		}
	}()
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// names are all that are in the directory.
func (d *directory) names() ([]string, error) {
	if _, err := d.list.Seek(0, 0); err != nil {
		return nil, err
	}
	return d.list.Readdirnames(-1)
}
