package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/lock"
	"uml/mconsole"
	"uml/runscript"
)

// A kernel is the process of a running guest, held by a pidfd.
type kernel struct {
	m   *Machine
	pid int
	uid int
	fd  int
}

// hold is nil if the process is not the guest's any more.
func (m *Machine) hold(h *lock.Holder) (*kernel, error) {
	fd, err := unix.PidfdOpen(h.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hold process %d: %w", h.PID, err)
	}
	now, _, err := runscript.Kernel(m.dir)
	if err != nil || now == nil || *now != *h {
		unix.Close(fd)
		return nil, err
	}
	return &kernel{m, h.PID, h.User(), fd}, nil
}

func (k *kernel) close() { unix.Close(k.fd) }

// wait waits until the kernel has ended, or for so long. A process that nobody has
// waited for counts as ended.
func (k *kernel) wait(ctx context.Context, most time.Duration) (ended bool, err error) {
	for until := time.Now().Add(most); ; {
		left := max(0, time.Until(until))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}}, int(min(left, lookAgain).Milliseconds()))
		if err != nil && err != unix.EINTR {
			return false, fmt.Errorf("wait for process %d: %w", k.pid, err)
		}
		if n > 0 {
			return true, nil
		}
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		if left == 0 {
			return false, nil
		}
	}
}

func (k *kernel) signal(sig unix.Signal) error {
	if err := unix.PidfdSendSignal(k.fd, sig, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("signal process %d: %w", k.pid, err)
	}
	return nil
}

// status is how the kernel ended, where the host can still tell (Linux 6.15): 0 of a
// guest that halted, and where it is not known.
func (k *kernel) status() unix.WaitStatus {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if unix.IoctlPidfdInfo(k.fd, &info) != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0
	}
	return unix.WaitStatus(info.Exit_code)
}

func (k *kernel) ask(ctx context.Context, most time.Duration, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return runscript.Ask(ctx, k.m.Real, command)
}

// answers is how long a kernel is given for one.
const answers = 5 * time.Second

// press presses Ctrl-Alt-Del. Until init has said that it wants to be told of it,
// the kernel would reboot at once, with nothing written back: then it is not
// pressed, and the error says why.
func (k *kernel) press(ctx context.Context, most time.Duration) error {
	most = min(most, answers)
	text, err := k.ask(ctx, most, "proc sys/kernel/ctrl-alt-del")
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) != "0" {
		return errNoInit
	}
	_, err = k.ask(ctx, most, "cad")
	return err
}

var errNoInit = errors.New("the guest's init does not take Ctrl-Alt-Del (yet)")

// wake lets a guest go on that is paused, by its kernel or by supervise.
func (k *kernel) wake(ctx context.Context) error {
	if err := k.signal(unix.SIGCONT); err != nil {
		return err
	}
	_, err := k.ask(ctx, answers, "go")
	var refused *mconsole.Refusal
	if errors.As(err, &refused) { // it was not paused
		return nil
	}
	return err
}

// settle has the kernel write back what its discs lack and make them read-only,
// so that what follows loses nothing that a program had written. The kernel answers
// when it has begun. A disc shows as read-only when nothing more is taken, and a
// moment before the last of it is written.
func (k *kernel) settle(ctx context.Context) {
	for _, letter := range []string{"s", "u"} {
		if _, err := k.ask(ctx, enough, "sysrq "+letter); err != nil {
			return
		}
	}
	for until := time.Now().Add(enough); time.Now().Before(until); time.Sleep(lookAgain) {
		mounts, err := k.ask(ctx, enough, "proc 1/mounts")
		if err != nil {
			return
		}
		if !writes(mounts) {
			k.wait(ctx, time.Second)
			return
		}
	}
}

// writes says whether a disc is mounted to be written, by the text of /proc/mounts.
// The root's is named /dev/root by old kernels.
func writes(mounts string) bool {
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) >= 4 && (strings.HasPrefix(f[0], "/dev/ubd") || f[0] == "/dev/root") && strings.HasPrefix(f[3]+",", "rw,") {
			return true
		}
	}
	return false
}
