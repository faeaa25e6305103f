package jail

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// limit sets the limits of the kernel's process. RLIMIT_NOFILE is always set,
// and through x/sys: the Go runtime raised the soft limit at its start, and
// exec would put the caller's back unless the program says otherwise so.
func (j *Jail) limit() error {
	for _, l := range []struct {
		name string
		what int
		max  int
	}{
		{"nofile", unix.RLIMIT_NOFILE, j.NoFile},
		{"nproc", unix.RLIMIT_NPROC, j.NProc},
		// A panic aborts: no image of guest RAM on the host's disc. With 0 the
		// host's core handler, root's program, would be started all the same; 1
		// means none of either (fs/coredump.c).
		{"core", unix.RLIMIT_CORE, 1},
	} {
		r := unix.Rlimit{Cur: uint64(l.max), Max: uint64(l.max)}
		err := unix.Setrlimit(l.what, &r)
		if errors.Is(err, unix.EPERM) {
			return fault.HostLimit.Permanent("%s: %d is over the limit that this process was given (raise it for the supervisor)", l.name, l.max)
		}
		if err != nil {
			return fmt.Errorf("limit %s to %d: %w", l.name, l.max, err)
		}
	}
	if j.Nice == 0 {
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, j.Nice); err != nil { // 0: this thread
		return fmt.Errorf("nice %d: %w", j.Nice, err)
	}
	return nil
}

// securebits by include/uapi/linux/securebits.h: root's id gives nothing, nothing
// is fixed up or kept or raised, and all of that is locked.
const (
	noRoot         = 1 << 0
	noSetuidFixup  = 1 << 2
	keepCaps       = 1 << 4
	noAmbientRaise = 1 << 6
	locked         = noRoot<<1 | noSetuidFixup<<1 | keepCaps<<1 | noAmbientRaise<<1
	securebits     = noRoot | noSetuidFixup | noAmbientRaise | locked
)

// drop gives up every privilege for good. All calls are raw: the syscall
// package's setuid and setgroups change every thread of the program, and the
// others must stay able to take claims back.
func (j *Jail) drop() error {
	if err := leaveKeys(); err != nil {
		return err
	}
	if err := dropBounding(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, securebits, 0, 0, 0); err != nil {
		return fmt.Errorf("lock securebits: %w", err)
	}
	uid, gid := uintptr(j.Account.UID), uintptr(j.Account.GID)
	for _, c := range []struct {
		name    string
		call    uintptr
		a, b, c uintptr
	}{
		{"setgroups", unix.SYS_SETGROUPS, 0, 0, 0},
		{"setresgid", unix.SYS_SETRESGID, gid, gid, gid},
		{"setresuid", unix.SYS_SETRESUID, uid, uid, uid},
	} {
		if _, _, e := unix.RawSyscall(c.call, c.a, c.b, c.c); e != 0 {
			return fmt.Errorf("%s: %w", c.name, e)
		}
	}
	// NO_SETUID_FIXUP left the capabilities in place.
	if err := setCapabilities(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return j.verify()
}

// leaveKeys gives the process a session keyring of its own. Where there are no keys
// (ENOSYS), or a container's filter denies them to all its processes (EPERM), there
// is nothing to leak.
func leaveKeys() error {
	_, _, e := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if e != 0 && e != unix.ENOSYS && e != unix.EPERM {
		return fmt.Errorf("leave the session's keys: %w", e)
	}
	return nil
}

func dropBounding() error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && c > unix.CAP_AUDIT_READ { // past the kernel's last
			return nil
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
}

func setCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("clear capabilities: %w", err)
	}
	return nil
}

// verify looks once more at what must hold before foreign code runs.
func (j *Jail) verify() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	r, e, s := unix.Getresuid()
	gr, ge, gs := unix.Getresgid()
	groups, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("getgroups: %w", err)
	}
	uid, gid := j.Account.UID, j.Account.GID
	if caps != [2]unix.CapUserData{} || len(groups) != 0 ||
		r != uid || e != uid || s != uid || gr != gid || ge != gid || gs != gid {
		return fmt.Errorf("privileges are not gone: users %d %d %d, groups %d %d %d %v, capabilities %v", r, e, s, gr, ge, gs, groups, caps)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0); errno != unix.EPERM {
		return fmt.Errorf("privileges are not gone: setuid(0) says %w", errno)
	}
	cwd, err := rawGetcwd()
	if err != nil || cwd != "/" {
		return fmt.Errorf("the working directory is %q, outside the jail: %w", cwd, err)
	}
	return nil
}

// rawGetcwd: the libraries hide the "(unreachable)" that the kernel says of a
// directory outside the root.
func rawGetcwd() (string, error) {
	var buf [unix.PathMax]byte
	n, _, e := unix.RawSyscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
	if e != 0 {
		return "", e
	}
	return string(buf[:max(int(n), 1)-1]), nil
}
