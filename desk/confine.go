package desk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/rights"
)

// insideName is how the program is called when it is executed anew.
const insideName = "uml-shelld: confined"

// inside says whether this is the confined program.
func inside() bool {
	bits, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return os.Args[0] == insideName && err == nil && bits == 1
}

// keep are the capabilities that are needed, all others are given up for good.
var keep = []uint{
	unix.CAP_DAC_READ_SEARCH, // a log is its logger's; a jail, and what is in it, the guest's user's
	unix.CAP_SYS_PTRACE,      // /proc/PID of a guest's kernel: its root, descriptors, and its terminal
	unix.CAP_KILL,            // end a guest's kernel, and its strays
	unix.CAP_SETUID,          // be the guest's user, for a file in his directory (setfsuid)
	unix.CAP_SETGID,          // and of no group but his
}

// confine gives up what is not needed and executes the program anew; it returns only
// an error.
func confine(o Options, d *Desk) error {
	if err := listen(o); err != nil {
		return err
	}
	// A connection is up to 8 descriptors. Where we may not, fewer are served.
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		most := max(files.Max, 16*maxConnections)
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}) != nil {
			unix.Setrlimit(unix.RLIMIT_NOFILE, &files)
		}
	}
	if err := d.namespaces(); err != nil {
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

// namespaces: no network, and files that cannot be written. What is written all the
// same are fifos, which the flag of a mount does not keep from it, and sockets in
// the jails, which are mounts of the guests'.
func (d *Desk) namespaces() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fault.Permanent("cannot make namespaces to be confined in: %w (root without CAP_SYS_ADMIN, in a container? --open goes on without)", err)
		}
		return fmt.Errorf("make namespaces: %w", err)
	}
	// Not private: a filesystem that the host unmounts is not held here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts follow the host's: %w", err)
	}
	closed := uint64(unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID) // what may be executed the filter says: nothing
	tree := -1
	if d.keys {
		var err error
		tree, err = unix.OpenTree(unix.AT_FDCWD, d.machines, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("clone the mounts of %s: %w", d.machines, err)
		}
		defer unix.Close(tree)
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: closed}); err != nil {
			return fmt.Errorf("change the mounts of %s: %w", d.machines, err)
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: closed | unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make all mounts read-only: %w", err)
	}
	if tree >= 0 {
		if err := unix.MoveMount(tree, "", unix.AT_FDCWD, d.machines, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s: %w", d.machines, err)
		}
	}
	return unix.Chdir("/")
}
