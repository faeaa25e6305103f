package jail

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// Enter makes the room and moves the calling thread into it, as the guest's user
// and with nothing else. The goroutine must be locked to its thread. After an
// error the thread is fit for nothing but the end of the program.
func (j *Jail) Enter() error {
	leaveTerminal()
	if err := j.leaveNetwork(); err != nil {
		return err
	}
	if err := j.build(); err != nil {
		return err
	}
	if err := errors.Join(j.openTerminals(), j.openBox()); err != nil {
		return err
	}
	if err := j.limit(); err != nil {
		return err
	}
	if err := j.drop(); err != nil {
		return err
	}
	if j.Umid != "" {
		if err := removeUmid(j.Umid); err != nil {
			return err
		}
	}
	return j.landlock(LandlockABI())
}

// leaveNetwork takes the thread to a network namespace of its own, with a loopback
// that is down and nothing else: no interface, route or abstract socket of the
// host. A descriptor of a TAP stays what it is. Sockets by name, mconsole's for
// one, are reached from outside as before. The program's other threads stay.
func (j *Jail) leaveNetwork() error {
	if j.Tun {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare network namespace: %w", err)
	}
	return nil
}

// leaveTerminal gives up the controlling terminal: who has it can type into it
// (TIOCSTI), for root's shell to read when the guest has ended. One that is not
// among 0, 1 and 2 cannot be reached from the jail. The leader of a session would
// hang it up for all who use it; no shell reads there after him.
func leaveTerminal() {
	if sid, err := unix.Getsid(0); err != nil || sid == unix.Getpid() {
		return
	}
	for fd := range 3 {
		unix.IoctlSetInt(fd, unix.TIOCNOTTY, 0) // an error: it is not the one
	}
}

// Exec runs a program of the jail in place of this one. last is asked at the
// latest moment whether there is a reason not to: from then on a signal has its
// default effect, on this program and on the next.
func (j *Jail) Exec(file string, args []string, last func() error) error {
	runtime.LockOSThread()
	unix.Umask(0o077)
	// The kernel would execute itself once more to set this, by /proc/self/exe,
	// which the jail does not have (arch/um/os-Linux/main.c).
	if _, err := personality(addrNoRandomize); err != nil {
		return err
	}
	if err := keepOnly(j.Keep); err != nil {
		return err
	}
	if err := last(); err != nil {
		return err
	}
	if err := resetSignals(); err != nil {
		return err
	}
	err := become(file, args, j.Env, j.filter())
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOEXEC) {
		return fault.ExecFailed.Permanent("exec %s in the jail: %w", file, err)
	}
	if errors.Is(err, unix.EAGAIN) { // not the exec's own: what the new user id was over (execve(2))
		return fmt.Errorf("exec %s in the jail: %w (%s has more processes than settings/nproc lets it, %d)", file, err, j.Account.Name, j.NProc)
	}
	return fmt.Errorf("exec %s in the jail: %w", file, err)
}

// addrNoRandomize is ADDR_NO_RANDOMIZE of include/uapi/linux/personality.h.
const addrNoRandomize = 0x0040000

func personality(flags uintptr) (uintptr, error) {
	old, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, flags, 0, 0)
	if e != 0 {
		return 0, fmt.Errorf("personality: %w", e)
	}
	return old, nil
}

// keepOnly closes at exec whatever our caller left open and we opened, but 0, 1,
// 2 and what is handed on by name (close_range, Linux 5.11 for the flag).
func keepOnly(keep []uint) error {
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	for _, fd := range keep {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keep descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// sigaction is the kernel's own structure, include/linux/signal_types.h.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// resetSignals undoes what our caller left: a signal that is ignored stays so
// through exec, and so does a mask.
func resetSignals() error {
	var action sigaction
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); e != 0 {
			return fmt.Errorf("reset signal %d: %w", sig, e)
		}
	}
	var none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		return fmt.Errorf("reset the signal mask: %w", err)
	}
	return nil
}

// removeUmid takes away what a killed kernel left in /uml. Beside a directory
// whose pid file names any process that lives, the kernel would take a random
// umid and go on, and nobody would find it. It runs in the jail and as the
// guest's user, so it can reach nothing but the user's own.
func removeUmid(umid string) error {
	name := "/uml/" + umid
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, name, &how)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES) {
		return fault.JailBad.Permanent("jail%s: is not the user's own directory (remove it): %w", name, err)
	}
	if err != nil {
		return fmt.Errorf("open jail%s: %w", name, err)
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	return emptyUmid(dir)
}

func emptyUmid(dir *os.File) error {
	names, err := dir.Readdirnames(3)
	if err != nil && err != io.EOF {
		return fmt.Errorf("list jail%s: %w", dir.Name(), err)
	}
	for _, n := range names {
		if n != "pid" && n != "mconsole" {
			return fault.JailBad.Permanent("jail%s/%s: is nothing that a kernel leaves (remove it)", dir.Name(), n)
		}
		if err := unix.Unlinkat(int(dir.Fd()), n, 0); err != nil {
			return stays(path.Join(dir.Name(), n), err)
		}
	}
	if err := unix.Rmdir(dir.Name()); err != nil {
		return stays(dir.Name(), err)
	}
	return nil
}

// stays tells what somebody must remove from what a later start may.
func stays(name string, err error) error {
	for _, lasts := range []error{unix.EACCES, unix.EPERM, unix.EISDIR, unix.ENOTEMPTY} {
		if errors.Is(err, lasts) {
			return fault.JailBad.Permanent("remove jail%s: %w", name, err)
		}
	}
	return fmt.Errorf("remove jail%s: %w", name, err)
}
