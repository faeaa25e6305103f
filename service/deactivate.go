package service

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/runscript"
	"uml/supervisor"
)

// Deactivate takes the link away, so that the machine is not started when the host
// boots; stops the guest; ends its supervisor and that of its log; and takes its
// network away. runsvdir ends a runsv whose link is gone, with a TERM for the guest:
// under runit the guest is stopped first.
func (m *Machine) Deactivate(ctx context.Context, timeout time.Duration, host runscript.Options) (s Stopped, err error) {
	if err := needRoot(); err != nil {
		return s, err
	}
	if _, err := m.linked(); err != nil {
		return s, err
	}
	now, err := supervisor.Read(m.dir)
	if err != nil {
		return s, err
	}
	if now.Supervised && now.Kind == supervisor.Runit {
		if s, err = m.Stop(ctx, timeout); err != nil {
			return s, err
		}
		err = m.unlink()
	} else {
		if err := m.unlink(); err != nil {
			return s, err
		}
		s, err = m.Stop(ctx, timeout)
	}
	if err != nil {
		return s, err
	}
	if err := m.endSupervisors(ctx); err != nil {
		return s, err
	}
	host.Dir = m.Real
	return s, runscript.NetDown(ctx, host)
}

// endSupervisors has both end, and waits for it.
func (m *Machine) endSupervisors(ctx context.Context) error {
	log, err := m.dir.Dir("log")
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if log != nil {
		defer log.Close()
	}
	for until := time.Now().Add(enough); ; {
		running, err := endSupervisor(m.dir, supervisor.Exit)
		if err != nil {
			return err
		}
		if running == "" && log != nil {
			// The log's reads until its pipe is closed, which svscan keeps open.
			if running, err = endSupervisor(log, supervisor.Stop, supervisor.Exit); err != nil {
				return err
			}
		}
		if running == "" {
			return nil
		}
		if time.Now().After(until) {
			return fault.SupervisorStuck.Temporary("%s: the supervisor was told to end, and does not", running)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// endSupervisor gives orders to one that runs, and says which that was. The
// guest is down, so that they do no harm when they are given again.
func endSupervisor(dir *handle.Dir, orders ...supervisor.Order) (running string, err error) {
	s, err := supervisor.Read(dir)
	if err != nil || !s.Supervised {
		return "", err
	}
	if s.Unread > 0 {
		return dir.Path, nil
	}
	for _, o := range orders {
		if err := supervisor.Send(dir, o); err != nil {
			return "", ignore(err, supervisor.ErrNotRunning)
		}
	}
	return dir.Path, nil
}
