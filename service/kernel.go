package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/lock"
	"uml/mconsole"
	"uml/runscript"
)

// A kernel is the process of a running guest, held by a pidfd, and by its socket
// once it was asked something.
type kernel struct {
	m      *Machine
	pid    int
	uid    int
	fd     int
	client *mconsole.Client
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
	return &kernel{m: m, pid: h.PID, uid: h.User(), fd: fd}, nil
}

func (k *kernel) close() {
	if k.client != nil {
		k.client.Close()
	}
	unix.Close(k.fd)
}

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

// dial finds the kernel's socket, which one that has only begun has not yet.
func (k *kernel) dial(ctx context.Context) error {
	if k.client != nil {
		return nil
	}
	c, err := mconsole.Dial(k.pid, k.uid, k.m.Name)
	if err != nil {
		return err
	}
	// A number is not given again while its process is there: if ours is still, it is
	// that which was dialled.
	ended, err := k.wait(ctx, 0)
	if ended {
		err = fault.GuestDown.Temporary("%s: the guest has just ended", k.m.Real)
	}
	if err != nil {
		c.Close()
		return err
	}
	k.client = c
	return nil
}

// ask does a call, which is given so long.
func (k *kernel) ask(ctx context.Context, most time.Duration, call func(*mconsole.Client, context.Context) error) error {
	if err := k.dial(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return call(k.client, ctx)
}

// proc is a file of the guest's /proc.
func (k *kernel) proc(ctx context.Context, most time.Duration, file string) (text string, err error) {
	err = k.ask(ctx, most, func(c *mconsole.Client, ctx context.Context) (err error) {
		text, err = c.Proc(ctx, file)
		return err
	})
	return text, err
}

// answers is how long a kernel is given for one.
const answers = 5 * time.Second

// press presses Ctrl-Alt-Del. Until init has said that it wants to be told of it,
// the kernel would reboot at once, with nothing written back: then it is not
// pressed, and the error says why.
func (k *kernel) press(ctx context.Context, most time.Duration) error {
	most = min(most, answers)
	text, err := k.proc(ctx, most, "sys/kernel/ctrl-alt-del")
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) != "0" {
		return errNoInit
	}
	return k.ask(ctx, most, (*mconsole.Client).CAD)
}

var errNoInit = errors.New("the guest's init does not take Ctrl-Alt-Del (yet)")

// wake lets a guest go on that is paused, by its kernel or by supervise.
func (k *kernel) wake(ctx context.Context) error {
	if err := k.signal(unix.SIGCONT); err != nil {
		return err
	}
	err := k.ask(ctx, answers, (*mconsole.Client).Resume)
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
	for _, letter := range []byte("su") {
		err := k.ask(ctx, enough, func(c *mconsole.Client, ctx context.Context) error {
			_, err := c.Sysrq(ctx, letter)
			return err
		})
		if err != nil {
			return
		}
	}
	for until := time.Now().Add(enough); time.Now().Before(until); time.Sleep(lookAgain) {
		mounts, err := k.proc(ctx, enough, "1/mounts")
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
