package runscript

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// skas is step 5 (paper 5.2): a kernel runs its guest's processes in address
// spaces of their own, and needs the host for it. Kernels of the skas3 patch
// have /proc/mm; all later ones need ptrace with PTRACE_SYSEMU.
func (s *start) skas() error {
	s.plan("check", "SKAS: /proc/mm, or a trial of PTRACE_SYSEMU on a child")
	if s.DryRun {
		return nil
	}
	return SKAS()
}

// SKAS says whether this host can run any guest's processes. It starts a child
// for a moment.
func SKAS() error {
	if _, err := os.Stat("/proc/mm"); err == nil {
		return nil
	}
	scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err == nil {
		if err := checkScope(string(scope)); err != nil {
			return err
		}
	}
	return trySysemu()
}

// checkScope refuses what a trial would not show: root's passes all the same
// (Documentation/admin-guide/LSM/Yama.rst).
func checkScope(text string) error {
	switch strings.TrimSpace(text) {
	case "2", "3":
		return fault.HostNoTrace.Permanent("kernel.yama.ptrace_scope is %s: no user's process may trace another, as a guest kernel must (sysctl -w kernel.yama.ptrace_scope=1; 3 needs a reboot)", strings.TrimSpace(text))
	}
	return nil
}

// trySysemu traces a child from its exec to its first system call, which it is
// not let make. The child is this program again, any would do. Tracing belongs
// to the thread.
func trySysemu() (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"trial"}, &syscall.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return fmt.Errorf("try SKAS: start a traced child: %w", err)
	}
	defer func() { err = errors.Join(err, reap(pid)) }()
	if err := awaitStop(pid); err != nil {
		return err
	}
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SYSEMU, uintptr(pid), 0, 0, 0, 0)
	if e == unix.ESRCH { // somebody killed it
		return fmt.Errorf("try SKAS: trace the child: %w", e)
	}
	if e != 0 {
		return fault.HostNoTrace.Permanent("this host's kernel cannot emulate system calls for a guest (PTRACE_SYSEMU: %w)", e)
	}
	return awaitStop(pid)
}

func awaitStop(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("try SKAS: wait for the child: %w", err)
		}
		if !status.Stopped() {
			return fmt.Errorf("try SKAS: the traced child ended (status %#x)", int(status))
		}
		return nil
	}
}

// reap does not wait for a child that it could not kill: that one is stopped, and
// ends with us.
func reap(pid int) error {
	err := unix.Kill(pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) { // waited for already
		return nil
	}
	if err != nil {
		return fmt.Errorf("try SKAS: end the child: %w", err)
	}
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return nil
		}
	}
}
