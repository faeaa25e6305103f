// Package jail makes the room that a guest kernel runs in (paper 3.4): a mount
// namespace of its own with a fresh, read-only root that holds the machine's own
// files and nothing else; limits; no privilege and no way back to any. Then the
// kernel takes the place of the calling process: nothing of ours remains.
//
// Namespaces, ids and capabilities belong to a thread, so everything here is
// called from one goroutine that is locked to its thread and execs from it. The
// program's other threads keep their rights, and can undo what was claimed when
// Enter or Exec fails.
//
// What it does not promise: that a kernel which is broken out of finds no process
// to look at; nor, if it opens its TAP by name (Tun), that it finds no network
// namespace of the host and no abstract socket.
package jail

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// Access is what a file in the jail may be used for. The kernel's own
// permissions hold besides: a mount gives no right to a file.
type Access uint64

const (
	guard            = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	ReadWrite Access = guard | unix.MOUNT_ATTR_NOEXEC
	ReadOnly  Access = guard | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_RDONLY
	Execute   Access = guard | unix.MOUNT_ATTR_RDONLY
)

// A Jail is what will be in the room. Files are brought in before it is entered.
type Jail struct {
	Account   settings.Account
	Memory    settings.Size // of guest RAM, a file in /tmp
	NoSwap    bool          // it stays out of the host's swap; see CanNoSwap
	NoFile    int
	NProc     int
	Nice      int
	Tun       bool // whether it opens TAPs: the host's network, and /dev/net/tun; else a network with nothing in it
	Seccomp   settings.Seccomp
	OwnFilter bool     // whether the kernel runs its guest's processes under seccomp, not ptrace
	Umid      string   // whose stale directory below /uml is removed
	Terminals int      // how many it has of its own
	Keep      []uint   // descriptors that the guest inherits besides 0, 1, 2
	Env       []string // the whole environment
	Dry       bool     // it will not be entered: nothing is mounted for it

	items []item
}

// An item is a file or directory of the host that will be seen in the jail. Its
// mount is a detached copy, made when the file was judged: whatever happens to
// the name meanwhile, this file is the one that is brought in.
type item struct {
	at     string // without the leading slash
	host   string
	access Access
	dir    bool
	tree   int
}

// taken are the names that the jail makes itself.
var taken = []string{"dev", "tmp", "proc", Annex}

// Bring takes the judged file f into the jail at the absolute path at.
func (j *Jail) Bring(f *handle.File, at string, access Access) error {
	return j.bring(f.Fd(), f.Path, at, access, false)
}

// BringDir does so for a directory with all that is in it, but no mounts.
func (j *Jail) BringDir(d *handle.Dir, at string, access Access) error {
	return j.bring(d.Fd(), d.Path, at, access, true)
}

// Promise keeps a place for what will be made and brought in later; a dry run
// shows it as if it were there.
func (j *Jail) Promise(host, at string, access Access) error {
	if j.Dry {
		return j.bring(-1, host, at, access, false)
	}
	return j.free(host, at)
}

// bring clones the mount now: after unshare(CLONE_NEWNS) a descriptor from the
// old namespace can neither be cloned nor bound (EINVAL).
func (j *Jail) bring(fd int, host, at string, access Access, dir bool) error {
	at = strings.TrimPrefix(path.Clean(at), "/")
	if err := j.free(host, at); err != nil {
		return err
	}
	if j.Dry {
		j.items = append(j.items, item{at, host, access, dir, -1})
		return nil
	}
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", host, err)
	}
	j.items = append(j.items, item{at, host, access, dir, tree})
	attr := unix.MountAttr{Attr_set: uint64(access), Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr %s: %w", host, err)
	}
	return nil
}

// free refuses a path that is taken in the jail, or lies below one that is.
func (j *Jail) free(host, at string) error {
	first, _, _ := strings.Cut(at, "/")
	if at == "" || slices.Contains(taken, first) {
		return fault.SettingBad.Permanent("%s: /%s is the jail's own", host, at)
	}
	for _, i := range j.items {
		if i.at == at || strings.HasPrefix(at, i.at+"/") || strings.HasPrefix(i.at, at+"/") {
			return fault.SettingBad.Permanent("%s: /%s in the jail is %s already", host, at, i.host)
		}
	}
	return nil
}

// Has says whether the jail holds a file at the absolute path.
func (j *Jail) Has(at string) bool {
	return slices.ContainsFunc(j.items, func(i item) bool { return "/"+i.at == at && !i.dir })
}

// Close lets go of files that were brought in, when the jail is not entered.
func (j *Jail) Close() {
	for _, i := range j.items {
		if i.tree >= 0 {
			unix.Close(i.tree)
		}
	}
	j.items = nil
}

// Plan says what Enter would do, in its order, a line each.
func (j *Jail) Plan() []string {
	lines := []string{"unshare mount, IPC and UTS namespaces, / private"}
	if !j.Tun {
		lines = append(lines, "unshare network namespace, empty")
	}
	lines = append(lines,
		fmt.Sprintf("mount tmpfs / size=%v nr_inodes=%d mode=755 nosuid,nodev,noexec", rootSize, rootInodes),
		"mount tmpfs /dev nosuid,noexec: "+strings.Join(j.deviceNames(), " "),
		"mount devpts /dev/pts nosuid,noexec mode=600 ptmxmode=666",
		fmt.Sprintf("mount tmpfs /tmp %s size=%v mode=700 uid=%d gid=%d", strings.Join(append([]string{"nosuid,nodev"}, j.tmpFlags()...), ","), j.Memory, j.Account.UID, j.Account.GID),
		"mount tmpfs /annex ro,nosuid,nodev,noexec size=64k",
	)
	lines = append(lines, fmt.Sprintf("make a pair of sockets for locks to come, as descriptors %d and %d", boxIn, boxOut))
	for i := range j.Terminals {
		lines = append(lines, fmt.Sprintf("make a terminal there, its slave as descriptor %d, its master as %d", Slave(i), Master(i)))
	}
	for _, i := range j.sorted() {
		lines = append(lines, fmt.Sprintf("bind %s at /%s %s", i.host, i.at, i.access))
	}
	lines = append(lines,
		"remount / and /dev read-only, pivot_root, umount the old root, chroot",
		fmt.Sprintf("limits nofile=%d nproc=%d core=1 nice=%d", j.NoFile, j.NProc, j.Nice),
		fmt.Sprintf("user %d, group %d, no groups, no capabilities, securebits locked, no_new_privs", j.Account.UID, j.Account.GID),
	)
	if j.Umid != "" {
		lines = append(lines, "remove a stale /uml/"+j.Umid)
	}
	return append(lines,
		"Landlock, as far as the host has it: no other use of files, no TCP, no signal or abstract socket to the outside",
		j.planFilter())
}

func (j *Jail) sorted() []item {
	return slices.SortedFunc(slices.Values(j.items), func(a, b item) int { return cmp.Compare(a.at, b.at) })
}

func (a Access) String() string {
	switch a {
	case ReadWrite:
		return "nosuid,nodev,noexec"
	case ReadOnly:
		return "ro,nosuid,nodev,noexec"
	}
	return "ro,nosuid,nodev"
}
