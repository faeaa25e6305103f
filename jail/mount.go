package jail

import (
	"errors"
	"fmt"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/settings"
)

const (
	rootSize   = settings.Size(256 << 10) // mount points only: the files lie elsewhere
	rootInodes = 256
	devInodes  = 16
	tmpInodes  = 64
	maxPts     = 96 // the kernel has 16 con and 64 ssl channels
)

// Root is where a process of the host sees the jail's root, in /proc/PID/exe for
// one: below the root of the jail's namespace.
const Root = "/room"

// build makes the room in a mount namespace of the thread's own and moves into
// it. Until then it lies on /, in this namespace only.
//
// The room is no root of the namespace, but a mount in an empty hall that is, and
// entered by chroot: who is in a chroot can make no user namespace (EPERM; clone(2)),
// in which he would have every capability over namespaces of his own, and with
// them the parts of the host's kernel that are for root. There is no way back:
// that takes a capability, or a descriptor from outside.
func (j *Jail) build() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare mount, IPC and UTS namespaces: %w", err)
	}
	// unshare gave the thread a umask of its own too.
	unix.Umask(0)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	hall, err := newRoot()
	if err != nil {
		return err
	}
	defer unix.Close(hall)
	if err := moveMount(hall, unix.AT_FDCWD, "/"); err != nil {
		return fmt.Errorf("mount the new root: %w", err)
	}
	room, err := newRoot()
	if err != nil {
		return err
	}
	defer unix.Close(room)
	if err := attach(room, hall, Root[1:]); err != nil {
		return err
	}
	if err := errors.Join(j.furnish(room), readOnly(hall, "/")); err != nil {
		return err
	}
	return pivot(hall, room)
}

func newRoot() (int, error) {
	return newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, options{
		"size": strconv.FormatInt(int64(rootSize), 10), "nr_inodes": strconv.Itoa(rootInodes), "mode": "755",
	})
}

func (j *Jail) furnish(root int) error {
	if err := j.makeDev(root); err != nil {
		return err
	}
	if err := j.makeTmp(root); err != nil {
		return err
	}
	if err := makeAnnex(root); err != nil {
		return err
	}
	if err := bindProcMM(root); err != nil {
		return err
	}
	for _, i := range j.sorted() {
		if err := i.place(root); err != nil {
			return fmt.Errorf("bind %s at /%s: %w", i.host, i.at, err)
		}
	}
	return readOnly(root, "/")
}

// makeDev: the nodes lie on a tmpfs of their own, since none may ever be on a
// filesystem that the guest's user can write, and the root is nodev.
func (j *Jail) makeDev(root int) error {
	dev, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, options{
		"size": "64k", "nr_inodes": strconv.Itoa(devInodes), "mode": "755",
	})
	if err != nil {
		return err
	}
	defer unix.Close(dev)
	if err := attach(dev, root, "dev"); err != nil {
		return err
	}
	for _, d := range j.devices() {
		if err := makeParents(dev, d.name); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
		if err := unix.Mknodat(dev, d.name, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	// ptmx finds the pts directory beside it: this instance, not the host's.
	pts, err := newMount("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, options{
		"mode": "600", "ptmxmode": "666", "max": strconv.Itoa(maxPts),
	})
	if err != nil {
		return err
	}
	defer unix.Close(pts)
	if err := attach(pts, dev, "pts"); err != nil {
		return err
	}
	return readOnly(dev, "/dev")
}

type device struct {
	name         string
	major, minor uint32
}

// devices by Documentation/admin-guide/devices.txt.
func (j *Jail) devices() []device {
	all := []device{{"null", 1, 3}, {"ptmx", 5, 2}}
	if j.Tun {
		all = append(all, device{"net/tun", 10, 200})
	}
	return all
}

func (j *Jail) deviceNames() []string {
	var names []string
	for _, d := range j.devices() {
		names = append(names, d.name)
	}
	return names
}

// makeTmp: guest RAM is an unlinked file there that the kernel maps executable,
// so this mount must not be noexec (paper 5.3; arch/um/os-Linux/mem.c).
//
// Its size is that of the RAM, and nothing more. Measured with 6.1.176: the file has the
// length mem=, and of the 10.7 MB that the kernel's own image stands for all but one page
// stay a hole. That is more than what else may lie there: a page that is tried for
// PROT_EXEC before there is RAM (check_tmpexec), and the program of some kB that kernels
// from 6.12 on write there if they get no memfd (skas/process.c).
func (j *Jail) makeTmp(root int) error {
	tmp, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, options{
		"size": strconv.FormatInt(int64(j.Memory), 10), "nr_inodes": strconv.Itoa(tmpInodes), "mode": "700",
		"uid": strconv.Itoa(j.Account.UID), "gid": strconv.Itoa(j.Account.GID),
	}, j.tmpFlags()...)
	if err != nil {
		return err
	}
	defer unix.Close(tmp)
	return attach(tmp, root, "tmp")
}

// bindProcMM gives a kernel for the skas3 host patch its device (paper 5.2).
func bindProcMM(root int) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, "/proc/mm", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open_tree /proc/mm: %w", err)
	}
	return item{at: "proc/mm", tree: tree}.place(root)
}

// place makes the mount point in our own root, where no link can be, and moves
// the mount there.
func (i item) place(root int) error {
	if err := makeParents(root, i.at); err != nil {
		return err
	}
	if i.dir {
		if err := unix.Mkdirat(root, i.at, 0o755); err != nil {
			return err
		}
	} else if err := unix.Mknodat(root, i.at, unix.S_IFREG, 0); err != nil {
		return err
	}
	defer unix.Close(i.tree)
	return moveMount(i.tree, root, i.at)
}

func makeParents(root int, name string) error {
	for n, c := range name {
		if c != '/' {
			continue
		}
		if err := unix.Mkdirat(root, name[:n], 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("mkdir %s: %w", path.Dir(name), err)
		}
	}
	return nil
}

type options map[string]string

// newMount makes a filesystem that is mounted nowhere yet (fsopen, Linux 5.2).
func newMount(kind string, attrs int, opts options, flags ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("make a %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for k, v := range opts {
		if err := unix.FsconfigSetString(fs, k, v); err != nil {
			return -1, fmt.Errorf("make a %s with %s=%s: %w", kind, k, v, err)
		}
	}
	for _, k := range flags {
		if err := unix.FsconfigSetFlag(fs, k); err != nil {
			return -1, fmt.Errorf("make a %s with %s: %w", kind, k, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("make a %s: %w", kind, err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fmt.Errorf("make a %s: %w", kind, err)
	}
	return m, nil
}

func attach(mount, parent int, name string) error {
	if err := unix.Mkdirat(parent, name, 0o755); err != nil {
		return fmt.Errorf("mkdir /%s: %w", name, err)
	}
	if err := moveMount(mount, parent, name); err != nil {
		return fmt.Errorf("mount /%s: %w", name, err)
	}
	return nil
}

func moveMount(mount, parent int, name string) error {
	return unix.MoveMount(mount, "", parent, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

func readOnly(mount int, name string) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", name, err)
	}
	return nil
}

// pivot makes hall the root. The old one comes to lie on it (pivot_root(2),
// "."), and is taken off with all its mounts: none is left to go back to. Then it
// enters the room.
func pivot(hall, room int) error {
	if err := unix.Fchdir(hall); err != nil {
		return fmt.Errorf("chdir to the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root (needs a root that is a mount point): %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("umount the old root: %w", err)
	}
	if err := unix.Fchdir(room); err != nil {
		return fmt.Errorf("chdir to the room: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot to the room: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir /: %w", err)
	}
	return nil
}
