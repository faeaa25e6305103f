package service

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/lock"
)

// Kill ends the machine's guest at once, and keeps it down: a power cut, after which
// what the guest had not written back is lost. What the kernel leaves is ended too.
func (m *Machine) Kill(ctx context.Context) (Stopped, error) {
	return m.stop(ctx, 0, m.kill)
}

func (m *Machine) kill(ctx context.Context, h *lock.Holder, _ time.Time, s *Stopped) error {
	k, err := m.hold(h)
	if k == nil || err != nil {
		return err
	}
	defer k.close()
	s.Outcome = Killed
	if err := k.signal(unix.SIGKILL); err != nil {
		return err
	}
	ended, err := k.wait(ctx, enough)
	if err != nil {
		return err
	}
	if !ended {
		return fault.Temporary("%s: process %d was killed, and does not end (state D in ps?)", m.Real, k.pid)
	}
	return m.straysOf(k.uid)
}
