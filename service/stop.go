package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/lock"
	"uml/runscript"
	"uml/supervisor"
)

// An Outcome is what it took to end a guest.
type Outcome int

const (
	WasDown    Outcome = iota
	NotStarted         // only a start was under way: it has ended, and claims nothing
	Clean              // the guest's init shut it down
	Crashed            // the kernel was asked, and ended otherwise: it panicked
	Terminated         // the guest did not end in time; its discs were written back, if its kernel still answered
	Killed             // nor did its kernel end when it was told to
)

func (o Outcome) String() string {
	return [...]string{"was down", "was not up yet", "clean", "crashed", "terminated", "killed"}[o]
}

// A Stopped is how a stop went.
type Stopped struct {
	Outcome Outcome
	Took    time.Duration
	Why     error // what kept it from being clean; nil if nothing is known
	Back    error // why the supervisor may start the guest again; nil: it stays down
}

// Times that are long for what is waited for: a kernel that was told to end, a
// supervisor that was given an order.
const (
	enough = 10 * time.Second
	again  = 10 * time.Second // Ctrl-Alt-Del is pressed again: init may have missed it
)

// Stop ends the machine's guest, and keeps it down. It has the supervisor not
// start it again, presses Ctrl-Alt-Del, and waits for the guest to end. After
// timeout the kernel is told to, and then made to.
func (m *Machine) Stop(ctx context.Context, timeout time.Duration) (s Stopped, err error) {
	return m.stop(ctx, timeout, m.end, false)
}

// Shut is Stop for who would rather have the guest run than lose anything: a guest that
// does not end by itself in time goes on running, and is the error. Its supervisor was
// told to keep it down all the same; Up takes that back.
func (m *Machine) Shut(ctx context.Context, timeout time.Duration) (s Stopped, err error) {
	return m.stop(ctx, timeout, m.ask, false)
}

// stop has the guest not started again, and ends it; at once, even a kernel that does
// not hold its lock.
func (m *Machine) stop(ctx context.Context, timeout time.Duration, end func(context.Context, *lock.Holder, time.Time, *Stopped) error, atOnce bool) (s Stopped, err error) {
	began := time.Now()
	defer func() { s.Took = time.Since(began) }()
	until := began.Add(timeout)
	for {
		var quiet bool
		quiet, s.Back = m.keepDown()
		if s.Back != nil && s.Outcome > NotStarted { // it may be coming back already
			return s, nil
		}
		k, by, err := runscript.Kernel(m.dir)
		switch {
		case err != nil:
			return s, err
		case k != nil:
			err = end(ctx, k, until, &s)
		case quiet && by == 0:
			return s, m.strays()
		default:
			err = m.endStart(ctx, by, until, &s, atOnce)
		}
		if err != nil {
			return s, err
		}
		if now := time.Now(); k != nil && now.After(until) { // its supervisor hears of the end only now
			until = now
		}
		if err := pause(ctx); err != nil {
			return s, err
		}
	}
}

// keepDown has the supervisor not start the guest again; quiet says that it has no
// process, and has understood. No order is given before the last was read: to one
// that was told so already it could be an order to start, as "o" is to daemontools'
// supervise when its process has ended just then.
func (m *Machine) keepDown() (quiet bool, err error) {
	s, err := supervisor.Read(m.dir)
	if err != nil || !s.Supervised {
		return true, err
	}
	switch {
	case s.Unread > 0:
		return false, nil
	case s.Want == supervisor.Down:
		return s.PID == 0, nil
	case s.Want == supervisor.Up || s.PID == 0:
		err = supervisor.Send(m.dir, supervisor.Stay)
	}
	return false, ignore(err, supervisor.ErrNotRunning)
}

// end ends a running kernel: asked, told, made to.
func (m *Machine) end(ctx context.Context, h *lock.Holder, until time.Time, s *Stopped) error {
	return m.shut(ctx, h, until, s, func(k *kernel) error { return k.force(ctx, s) })
}

// shut has the guest end by itself; a kernel that has not by then is for otherwise.
func (m *Machine) shut(ctx context.Context, h *lock.Holder, until time.Time, s *Stopped, otherwise func(*kernel) error) error {
	k, err := m.hold(h)
	if k == nil || err != nil {
		return err
	}
	defer k.close()
	ended, err := k.shutDown(ctx, until, s)
	if err != nil {
		return err
	}
	if ended {
		return k.ended(s)
	}
	return otherwise(k)
}

// force ends a kernel whose guest did not: told, made to.
func (k *kernel) force(ctx context.Context, s *Stopped) error {
	if k.settle(ctx); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, last := range []struct {
		sig     unix.Signal
		outcome Outcome
	}{{unix.SIGTERM, Terminated}, {unix.SIGKILL, Killed}} {
		s.Outcome = last.outcome
		if err := k.signal(last.sig); err != nil {
			return err
		}
		ended, err := k.wait(ctx, enough)
		if err != nil {
			return err
		}
		if ended {
			return k.m.straysOf(k.uid)
		}
	}
	return fault.GuestStays.Temporary("%s: process %d was killed, and does not end (state D in ps?)", k.m.Real, k.pid)
}

// ask is end for Shut.
func (m *Machine) ask(ctx context.Context, h *lock.Holder, until time.Time, s *Stopped) error {
	return m.shut(ctx, h, until, s, func(k *kernel) error {
		return fault.GuestStays.Temporary("%s: process %d, the guest, was asked to end, and goes on: %w", m.Real, k.pid, s.Why)
	})
}

// ended is for a kernel that has ended by itself.
func (k *kernel) ended(s *Stopped) error {
	s.Outcome, s.Why = Clean, nil
	if status := k.status(); status != 0 {
		s.Outcome, s.Why = Crashed, how(status)
	}
	return k.m.straysOf(k.uid)
}

func how(status unix.WaitStatus) error {
	if status.Signaled() {
		return fmt.Errorf("its kernel ended by %v", status.Signal())
	}
	return fmt.Errorf("its kernel ended with %d", status.ExitStatus())
}

// shutDown has the guest's init end the guest. A guest that is only booting is
// waited for until its init can.
func (k *kernel) shutDown(ctx context.Context, until time.Time, s *Stopped) (ended bool, err error) {
	s.Why = k.wake(ctx)
	var pressed time.Time
	for time.Now().Before(until) {
		if time.Since(pressed) > again {
			if s.Why = k.press(ctx, time.Until(until)); s.Why == nil {
				pressed = time.Now()
				s.Why = errors.New("the guest did not end in time")
			}
		}
		if ended, err := k.wait(ctx, min(5*lookAgain, time.Until(until))); ended || err != nil {
			return ended, err
		}
	}
	return false, nil
}

// endStart ends a start: TERM has it give back what it claimed. by is the process
// that holds the lock, if any does; a start that waits does not.
func (m *Machine) endStart(ctx context.Context, by int, until time.Time, stopped *Stopped, atOnce bool) error {
	if time.Now().After(until.Add(enough)) {
		return m.stuck(by)
	}
	pid := m.starting(by)
	if pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignore(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	// Held now, it must still be what it was. In the instant until the signal it may
	// become a kernel, which has no disc open yet.
	if m.starting(by) != pid {
		return nil
	}
	was := runscript.IsKernel(pid)
	if k, _, err := runscript.Kernel(m.dir); k != nil || err != nil {
		return err
	}
	if was && atOnce {
		return m.killUnlocked(ctx, pid, fd, stopped)
	}
	if was { // a signal would be a power cut
		return fault.RunsUnlocked.Temporary("%s: process %d is a guest's kernel and does not hold %s, which was deleted or let go: it cannot be asked (shut the guest down from inside)", m.Real, pid, m.dir.Join(lock.Name))
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return ignore(err, unix.ESRCH)
	}
	if stopped.Outcome == WasDown {
		stopped.Outcome = NotStarted
	}
	return nil
}

// starting is the process of a start: the supervisor's, or one that holds the lock
// as uml-run. Another command that holds it has its reasons, and is waited for.
func (m *Machine) starting(by int) (pid int) {
	if by != 0 {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", by))
		if err == nil && strings.TrimSuffix(path.Base(exe), " (deleted)") == "uml-run" { // or replaced since
			return by
		}
		return 0
	}
	if s, err := supervisor.Read(m.dir); err == nil && !s.Finishing {
		return s.PID
	}
	return 0
}

func ignore(err, not error) error {
	if errors.Is(err, not) {
		return nil
	}
	return err
}

func (m *Machine) stuck(by int) error {
	if by != 0 {
		return fault.GuestStays.Temporary("%s: process %d, no guest kernel, holds %s and does not end: a start by hand, or another command", m.Real, by, m.dir.Join(lock.Name))
	}
	return fault.SupervisorStuck.Temporary("%s: its supervisor does not do what it is told", m.Real)
}
