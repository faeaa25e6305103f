package seccomp

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// forbidden are tried by a process under the filter: each is to fail with EPERM, on
// every thread. Without it none of them would, as root.
var forbidden = map[string]func() error{
	"exec":           func() error { return unix.Exec("/bin/true", []string{"true"}, nil) },
	"start":          func() error { _, err := syscall.ForkExec("/bin/true", []string{"true"}, nil); return err },
	"IPv4":           func() error { return socket(unix.AF_INET, unix.SOCK_STREAM) },
	"netlink":        func() error { return socket(unix.AF_NETLINK, unix.SOCK_RAW) },
	"packets":        func() error { return socket(unix.AF_PACKET, unix.SOCK_RAW) },
	"mount":          func() error { return unix.Mount("none", "/proc", "tmpfs", 0, "") },
	"unshare":        func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"user namespace": func() error { return clone(unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)) },
	"fork":           func() error { return clone(uintptr(unix.SIGCHLD)) },
	"chroot":         func() error { return unix.Chroot("/") },
	"setuid":         func() error { _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); return errno(e) },
	"ptrace":         func() error { return unix.PtraceAttach(1) },
	"bpf":            func() error { _, _, e := unix.RawSyscall(unix.SYS_BPF, 0, 0, 0); return errno(e) },
	"io_uring":       func() error { _, _, e := unix.RawSyscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); return errno(e) },
}

func socket(family, kind int) error {
	_, err := unix.Socket(family, kind, 0)
	return err
}

func clone(flags uintptr) error {
	pid, _, e := unix.RawSyscall(unix.SYS_CLONE, flags, 0, 0)
	if e == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return errno(e)
}

func errno(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// still is what goes on as before.
var still = map[string]func() error{
	"socket":  func() error { return socket(unix.AF_UNIX, unix.SOCK_SEQPACKET) },
	"file":    func() error { _, err := os.ReadFile("/proc/self/status"); return err },
	"threads": func() error { return onThread(func() error { return nil }) },
	"own working directory": func() error {
		return onThread(func() error { return unix.Unshare(unix.CLONE_FS) })
	},
}

// onThread does it on a thread that is made for it and ends after.
func onThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- do()
	}()
	return <-done
}

func TestMain(m *testing.M) {
	if os.Getenv("UML_SECCOMP_TEST") == "" {
		os.Exit(m.Run())
	}
	// A thread from before the filter.
	before, answer := make(chan func() error), make(chan error)
	go func() {
		runtime.LockOSThread()
		for do := range before {
			answer <- do()
		}
	}()
	before <- func() error { return nil }
	if err := <-answer; err != nil {
		os.Exit(2)
	}
	if err := NoExec(); err != nil {
		fmt.Println("NoExec:", err)
		os.Exit(0)
	}
	for name, do := range forbidden {
		before <- do
		for where, err := range map[string]error{"a thread from before": <-answer, "a new thread": onThread(do), "this thread": do()} {
			if !errors.Is(err, unix.EPERM) {
				fmt.Printf("%s, %s: %v\n", name, where, err)
			}
		}
	}
	for name, do := range still {
		if err := do(); err != nil {
			fmt.Printf("%s: %v\n", name, err)
		}
	}
	fmt.Println("done")
	os.Exit(0)
}

func TestNoExec(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "UML_SECCOMP_TEST=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "done" {
		t.Errorf("%v\n%s", err, out)
	}
}
