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
	"io"
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
		return fault.Permanent("%w (only root tells a supervisor)", err)
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
	if fifo == nil {
		return d.notRunning()
	}
	defer fifo.Close()
	if _, err := unix.Write(int(fifo.Fd()), []byte{o.letter(s)}); err != nil {
		if errors.Is(err, unix.EAGAIN) {
			return fault.Temporary("%s: is full of orders that supervise does not read", fifo.Name())
		}
		return fmt.Errorf("write to %s: %w", fifo.Name(), err)
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

// file opens what is in it, without waiting for the other end of a fifo; nil
// without an error if it is not there, or that end is not (ENXIO).
func (d *directory) file(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path.Join(d.name, name), Err: err}
	}
	return os.NewFile(uintptr(fd), path.Join(d.name, name)), nil
}

// control is the fifo for orders; nil if nobody reads it.
func (d *directory) control() (*os.File, error) {
	f, err := d.file("control", unix.O_WRONLY)
	if f == nil || err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		f.Close()
		return nil, fault.Permanent("%s: is no fifo (remove %s while nothing supervises the machine)", f.Name(), d.name)
	}
	return f, nil
}

// read looks for who reads the fifo first: a status that is read after that is not
// one that an earlier supervisor left.
func (d *directory) read() (Status, error) {
	fifo, err := d.control()
	if err != nil {
		return Status{}, err
	}
	unread := 0
	if fifo != nil {
		unread, err = unix.IoctlGetInt(int(fifo.Fd()), unix.TIOCINQ) // FIONREAD
		fifo.Close()
		if err != nil {
			return Status{}, fmt.Errorf("orders in %s: %w", fifo.Name(), err)
		}
	}
	s, err := d.status()
	if err != nil {
		return Status{}, err
	}
	if fifo == nil {
		return Status{Kind: s.Kind}, nil
	}
	s.Supervised, s.Unread = true, unread
	return s, nil
}

func (d *directory) status() (Status, error) {
	f, err := d.file("status", unix.O_RDONLY)
	if f == nil || err != nil {
		return Status{}, err // or supervise has only begun
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return Status{}, err
	}
	s, err := Parse(text)
	if err != nil {
		return Status{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return s, nil
}

func (d *directory) notRunning() error {
	return fault.Temporary("%s: %w", d.name, ErrNotRunning)
}
