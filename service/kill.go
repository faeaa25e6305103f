package service

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
)

// Kill ends the machine's guest at once, and keeps it down: a power cut, after which
// what the guest had not written back is lost. What the kernel leaves is ended too.
func (m *Machine) Kill(ctx context.Context) (Stopped, error) {
	return m.stop(ctx, 0, m.kill, true)
}

func (m *Machine) kill(ctx context.Context, h *lock.Holder, _ time.Time, s *Stopped) error {
	k, err := m.hold(h)
	if k == nil || err != nil {
		return err
	}
	defer k.close()
	return k.kill(ctx, s)
}

// kill ends the kernel, and who is in its jail: it may have let the lock go, by which
// they would be found.
func (k *kernel) kill(ctx context.Context, s *Stopped) error {
	s.Outcome = Killed
	jail, err := handle.Known(fmt.Sprintf("/proc/%d/root", k.pid))
	host, hostErr := handle.Known("/")
	alone := err == nil && hostErr == nil && (jail.Dev != host.Dev || jail.Ino != host.Ino)
	if err := k.signal(unix.SIGKILL); err != nil {
		return err
	}
	ended, err := k.wait(ctx, enough)
	if err != nil {
		return err
	}
	if !ended {
		return fault.GuestStays.Temporary("%s: process %d was killed, and does not end (state D in ps?)", k.m.Real, k.pid)
	}
	if alone {
		if err := lock.EndInside(&jail, k.uid); err != nil {
			return err
		}
	}
	return k.m.straysOf(k.uid)
}

// killUnlocked ends a kernel that is the supervisor's process, held by fd, and does
// not hold the machine's lock.
func (m *Machine) killUnlocked(ctx context.Context, pid, fd int, s *Stopped) error {
	owner, err := settings.Read(m.dir)
	if owner == nil || owner.User.UID == 0 {
		return fault.Temporary("%s: whose it is cannot be told: %w", m.Real, err)
	}
	return (&kernel{m: m, pid: pid, uid: owner.User.UID, fd: fd}).kill(ctx, s)
}
