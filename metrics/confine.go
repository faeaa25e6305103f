package metrics

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/rights"
)

// listenFD is where the program finds its socket when it is executed anew.
const listenFD = 3

// keep are the capabilities that are needed. With them alone root is no other user's
// equal: what belongs to root, though, it could write, but for the namespace.
var keep = []uint{
	unix.CAP_DAC_READ_SEARCH, // a jail is the guest's user's
	unix.CAP_SYS_PTRACE,      // /proc/PID of a guest's kernel: io, root, descriptors
	unix.CAP_NET_ADMIN,       // the kernel tells nobody else of its filters
}

// confine listens, gives up what is not needed and executes the program anew; it returns
// only an error.
func confine(o Options) error {
	if err := listen(o.Listen); err != nil {
		return err
	}
	if err := readOnly(); err != nil {
		if !errors.Is(err, unix.EPERM) || !o.Open {
			return err
		}
		o.Say(fmt.Sprintf("warning: %v: goes on without", err))
	}
	return rights.Confine(o.Name, o.Args, keep...)
}

func listen(at string) error {
	l, err := net.Listen("tcp", at)
	// What only the system refuses may pass: an address that the host has not yet, a name
	// server that is not up.
	var name *net.DNSError
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) && !(errors.As(err, &name) && (name.IsTemporary || name.IsTimeout)) {
		return fault.Permanent("--listen: %w", err)
	}
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	if int(f.Fd()) == listenFD {
		_, err = unix.FcntlInt(listenFD, unix.F_SETFD, 0)
	} else {
		err = unix.Dup3(int(f.Fd()), listenFD, 0) // what a supervisor left open there is not ours
	}
	if err != nil {
		return fmt.Errorf("pass the socket on: %w", err)
	}
	return nil
}

// readOnly: files cannot be written.
func readOnly() error {
	if err := rights.Apart(unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		return err
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make all mounts read-only: %w", err)
	}
	return unix.Chdir("/")
}
