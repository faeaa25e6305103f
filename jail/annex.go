package jail

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Annex is the directory of the jail for what comes while the guest runs. It is
// root's, read-only for the jail, and empty at first.
const Annex = "annex"

const (
	annexPath   = Root + "/" + Annex
	annexInodes = 64
	reserved    = ".reserved"
)

func makeAnnex(root int) error {
	annex, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, options{
		"size": "64k", "nr_inodes": strconv.Itoa(annexInodes), "mode": "755",
	})
	if err != nil {
		return err
	}
	defer unix.Close(annex)
	if err := attach(annex, root, Annex); err != nil {
		return err
	}
	return readOnly(annex, "/"+Annex)
}

// Extend moves the files that were brought in, in their order, into the annex of the
// jail that the kernel with the pidfd process runs in, as names. What stood there
// under such a name is no longer used by the kernel.
func (j *Jail) Extend(process int, names []string) error {
	return within(process, func() error {
		for n, i := range j.items {
			if err := remove(names[n]); err != nil {
				return err
			}
			if err := place(names[n], i.tree); err != nil {
				return fmt.Errorf("bind %s at /%s/%s of the jail: %w", i.host, Annex, names[n], err)
			}
		}
		return nil
	})
}

// Withdraw takes files out of the annex. Those that are not there are no matter.
func Withdraw(process int, names ...string) error {
	return within(process, func() (err error) {
		for _, n := range names {
			err = errors.Join(err, remove(n))
		}
		return err
	})
}

// Note writes down what only root may say of a guest that runs. It is gone with it.
func Note(process int, name, text string) error {
	return within(process, func() error {
		annex, err := writableAnnex()
		if err != nil {
			return err
		}
		defer unix.Close(annex)
		fd, err := unix.Openat(annex, name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("make %s in the annex: %w", name, err)
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		_, err = f.WriteString(text)
		return err
	})
}

// Noted is what was written down; "" if nothing was.
func Noted(process int, name string) (text string, err error) {
	err = within(process, func() error {
		b, err := os.ReadFile(annexPath + "/" + name)
		text = string(b)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
	return text, err
}

// Reserve opens the file whose flock(2) keeps two commands from changing a guest at
// once. It is root's alone: no guest can be in the way. It is gone with the guest.
func Reserve(process int) (f *os.File, err error) {
	err = within(process, func() error {
		annex, err := writableAnnex()
		if err != nil {
			return err
		}
		defer unix.Close(annex)
		fd, err := unix.Openat(annex, reserved, unix.O_RDONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return fmt.Errorf("make %s in the annex: %w", reserved, err)
		}
		f = os.NewFile(uintptr(fd), reserved)
		return nil
	})
	return f, err
}

// within does something in the mount namespace of a process, on a thread that is
// used for nothing else. All names there are ours: the room is read-only.
func within(process int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare root and working directory: %w", err)
			}
			if err := unix.Setns(process, unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("enter the guest's mount namespace: %w", err)
			}
			unix.Umask(0o022)
			return do()
		}()
	}()
	return <-done
}

// writableAnnex is the annex by a mount of its own, which only we have.
func writableAnnex() (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, annexPath, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("the jail's /%s: %w (a guest that an older version started has none: start it anew)", Annex, err)
	}
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make the annex writable: %w", err)
	}
	return fd, nil
}

func place(name string, tree int) error {
	annex, err := writableAnnex()
	if err != nil {
		return err
	}
	defer unix.Close(annex)
	if err := unix.Mknodat(annex, name, unix.S_IFREG, 0); err != nil {
		return err
	}
	return moveMount(tree, unix.AT_FDCWD, annexPath+"/"+name)
}

func remove(name string) error {
	err := unix.Unmount(annexPath+"/"+name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // no mount, or nothing
		return fmt.Errorf("umount /%s/%s of the jail: %w", Annex, name, err)
	}
	annex, err := writableAnnex()
	if err != nil {
		return err
	}
	defer unix.Close(annex)
	if err := unix.Unlinkat(annex, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove /%s/%s of the jail: %w", Annex, name, err)
	}
	return nil
}
