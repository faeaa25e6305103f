package metrics

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/rights"
)

// insideName is how the program is called when it is executed anew; listenFD is where it
// finds its socket then.
const (
	insideName = "uml-metrics: confined"
	listenFD   = 3
)

func inside() bool {
	bits, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return os.Args[0] == insideName && err == nil && bits == 1
}

// keep are the capabilities that are needed. With them alone root is no other user's
// equal: what belongs to root, though, it could write, but for the namespace.
var keep = []uint{
	unix.CAP_DAC_READ_SEARCH, // a jail is the guest's user's
	unix.CAP_SYS_PTRACE,      // /proc/PID of a guest's kernel: io, root, descriptors
	unix.CAP_NET_ADMIN,       // the kernel tells nobody else of its filters
}

// confine listens, gives up what is not needed and executes the program anew, since
// namespaces and capabilities are a thread's; it returns only an error.
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
	if err := rights.Keep(keep...); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	args := append([]string{insideName}, o.Args[1:]...)
	return fmt.Errorf("execute %s anew: %w", o.Name, unix.Exec("/proc/self/exe", args, os.Environ()))
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

// readOnly: files cannot be written, in a mount namespace of its own that follows the
// host's.
func readOnly() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fault.Permanent("cannot make namespaces to be confined in: %w (root without CAP_SYS_ADMIN, in a container? --open goes on without)", err)
		}
		return fmt.Errorf("make namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts follow the host's: %w", err)
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make all mounts read-only: %w", err)
	}
	return unix.Chdir("/")
}
