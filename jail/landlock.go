package jail

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What of the jail may be used how, whatever the mounts say: Landlock holds it
// for the kernel and all that it starts, for good.
const (
	mayRead    = unix.LANDLOCK_ACCESS_FS_READ_FILE
	mayWrite   = mayRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	mayExecute = mayRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	mayUse     = mayRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// Guest RAM: O_TMPFILE, or in older kernels a file that is unlinked.
	mayHold = mayWrite | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	// The umid directory, its pid file and the socket mconsole.
	mayMake = mayHold | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
)

// A rule allows the use of a file, or of all that is below a directory.
type rule struct {
	at     string
	access uint64
}

func (j *Jail) rules() []rule {
	all := []rule{
		{"/", unix.LANDLOCK_ACCESS_FS_READ_DIR},
		{"/dev", mayUse},
		{"/tmp", mayHold},
		{"/proc", mayWrite}, // /proc/mm, if there is one
		{"/" + Annex, mayWrite},
	}
	for _, i := range j.sorted() {
		all = append(all, rule{"/" + i.at, i.landlock()})
	}
	return all
}

func (i item) landlock() uint64 {
	switch {
	case i.dir && i.access == ReadWrite:
		return mayMake
	case i.access == ReadWrite:
		return mayWrite
	case i.access == Execute:
		return mayExecute
	}
	return mayRead
}

// LandlockABI is how much of Landlock the host has; 0 is none.
func LandlockABI() int {
	abi, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(abi)
}

// handled is all that a domain takes away, less what its rules give, as far as the
// host knows it. What later versions add is left alone until it was tried.
func handled(abi int) (r unix.LandlockRulesetAttr) {
	if abi >= 1 { // Linux 5.13
		r.Handled_access_fs = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // all from the first
	}
	if abi >= 2 { // 5.19
		r.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 { // 6.2
		r.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 { // 6.7
		r.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 { // 6.10
		r.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 { // 6.12
		r.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return r
}

// landlock puts the calling thread, which must be in the jail already, into a
// domain of its own. The calls are raw and for this thread only: the others must
// stay able to take claims back. A host without Landlock has none.
func (j *Jail) landlock(abi int) error {
	attr := handled(abi)
	if attr == (unix.LandlockRulesetAttr{}) {
		return nil
	}
	set, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), attrSize(abi), 0)
	if e != 0 {
		return fmt.Errorf("make a Landlock ruleset: %w", e)
	}
	defer unix.Close(int(set))
	for _, r := range j.rules() {
		if err := r.add(int(set), attr.Handled_access_fs); err != nil {
			return fmt.Errorf("make a Landlock rule for %s in the jail: %w", r.at, err)
		}
	}
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); e != 0 {
		return fmt.Errorf("enter the Landlock domain: %w", e)
	}
	return nil
}

// attrSize: a kernel takes a structure that is longer than its own if the rest is
// zero, but the size says what was meant (include/uapi/linux/landlock.h).
func attrSize(abi int) uintptr {
	var attr unix.LandlockRulesetAttr
	switch {
	case abi < 4:
		return unsafe.Offsetof(attr.Handled_access_net)
	case abi < 6:
		return unsafe.Offsetof(attr.Scoped)
	}
	return unsafe.Offsetof(attr.Quiet_access_fs)
}

func (r rule) add(set int, known uint64) error {
	fd, err := unix.Open(r.at, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && r.at == "/proc" {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: r.access & known, Parent_fd: int32(fd)}
	_, _, e := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
