package desk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"uml/rights"
)

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
	return rights.Confine(o.Name, o.Args, keep...)
}

// namespaces: no network, and files that cannot be written. What is written all the
// same are fifos, which the flag of a mount does not keep from it, and sockets in
// the jails, which are mounts of the guests'.
func (d *Desk) namespaces() error {
	if err := rights.Apart(unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		return err
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
