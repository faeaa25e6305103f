// Package supervisor speaks with what supervises a machine: supervise of
// daemontools, runsv of runit or s6-supervise, whichever it is. It reads
// supervise/status and writes to the fifo supervise/control, as svstat and svc,
// sv, s6-svstat and s6-svc do, and starts no process.
//
// The directory supervise is root's: everybody else gets an error that is
// fs.ErrPermission. systemd has no such directory, and is asked by systemctl.
package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// ErrNotRunning is in the error of an order that nobody reads.
var ErrNotRunning = errors.New("supervise is not running")

// Read says how the service directory dir is supervised: a machine's, or its log.
func Read(dir *handle.Dir) (Status, error) {
	d, err := open(dir)
	if err != nil {
		return Status{}, err
	}
	defer d.close()
	if d.fd < 0 {
		return Status{}, nil
	}
	return d.read()
}

// Send gives an order, and does not wait until it is read: daemontools' supervise
// reads none in the second after it has started something.
func Send(dir *handle.Dir, o Order) error {
	err := order(dir, o)
	if errors.Is(err, fs.ErrPermission) {
		return fault.NeedRoot.Permanent("%w (only root tells a supervisor)", err)
	}
	return err
}

func order(dir *handle.Dir, o Order) error {
	d, err := open(dir)
	if err != nil {
		return err
	}
	defer d.close()
	if d.fd < 0 {
		return d.notRunning()
	}
	s, err := d.read()
	if err != nil {
		return err
	}
	fifo, err := d.control()
	if err != nil {
		return err
	}
	if fifo < 0 {
		return d.notRunning()
	}
	defer unix.Close(fifo)
	return d.tell(fifo, o.letter(s))
}

// tell writes to the fifo, whose reader may have ended since it was opened.
func (d *directory) tell(fifo int, letter byte) error {
	_, err := unix.Write(fifo, []byte{letter})
	switch {
	case errors.Is(err, unix.EPIPE):
		return d.notRunning()
	case errors.Is(err, unix.EAGAIN):
		return fault.SupervisorStuck.Temporary("%s: is full of orders that supervise does not read", d.join("control"))
	case err != nil:
		return fmt.Errorf("write to %s: %w", d.join("control"), err)
	}
	return nil
}

// A directory is the supervise directory; fd is -1 if there is none. The
// administrator may have put a link in its place, where the disc is read-only.
type directory struct {
	name string
	fd   int
}

func open(dir *handle.Dir) (*directory, error) {
	d := &directory{dir.Join("supervise"), -1}
	fd, err := unix.Openat(dir.Fd(), "supervise", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return d, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: d.name, Err: err}
	}
	d.fd = fd
	return d, nil
}

func (d *directory) close() {
	if d.fd >= 0 {
		unix.Close(d.fd)
	}
}

// file opens what is in it, without waiting for the other end of a fifo; -1 without
// an error if it is not there, or that end is not (ENXIO). Package os would ask each
// whether it can be waited for, for every machine that is listed.
func (d *directory) file(name string, flags int) (int, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) {
		return -1, nil
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: d.join(name), Err: err}
	}
	return fd, nil
}

func (d *directory) join(name string) string { return path.Join(d.name, name) }

// control is the fifo for orders; -1 if nobody reads it.
func (d *directory) control() (int, error) {
	fd, err := d.file("control", unix.O_WRONLY)
	if fd < 0 || err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return -1, fault.SupervisorStuck.Permanent("%s: is no fifo (remove %s while nothing supervises the machine)", d.join("control"), d.name)
	}
	return fd, nil
}

// read looks for who reads the fifo first: a status that is read after that is not
// one that an earlier supervisor left.
func (d *directory) read() (Status, error) {
	fifo, err := d.control()
	if err != nil {
		return Status{}, err
	}
	unread := 0
	if fifo >= 0 {
		unread, err = unix.IoctlGetInt(fifo, unix.TIOCINQ) // FIONREAD
		unix.Close(fifo)
		if err != nil {
			return Status{}, fmt.Errorf("orders in %s: %w", d.join("control"), err)
		}
	}
	s, err := d.status()
	if err != nil {
		return Status{}, err
	}
	if fifo < 0 {
		return Status{Kind: s.Kind}, nil
	}
	s.Supervised, s.Unread = true, unread
	return s, nil
}

func (d *directory) status() (Status, error) {
	fd, err := d.file("status", unix.O_RDONLY)
	if fd < 0 || err != nil {
		return Status{}, err // or supervise has only begun
	}
	defer unix.Close(fd)
	var text [100]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return Status{}, &os.PathError{Op: "read", Path: d.join("status"), Err: err}
	}
	s, err := Parse(text[:n])
	if err != nil {
		return Status{}, fmt.Errorf("read %s: %w", d.join("status"), err)
	}
	return s, nil
}

func (d *directory) notRunning() error {
	return fault.SupervisorMissing.Temporary("%s: %w", d.name, ErrNotRunning)
}
