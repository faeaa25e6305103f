package roster

import (
	"errors"
	"io/fs"
	"net/netip"
	"time"

	"uml/handle"
	"uml/lock"
	"uml/runscript"
	"uml/settings"
	"uml/supervisor"
)

// prefixes without the length where it is a single address.
func prefixes(all []netip.Prefix) (texts []string) {
	for _, p := range all {
		if p.IsSingleIP() {
			texts = append(texts, p.Addr().String())
		} else {
			texts = append(texts, p.String())
		}
	}
	return texts
}

// state says how the machine stands.
func (r *Round) state(m *Machine, dir *handle.Dir, s *settings.Machine) {
	watched, err := supervisor.Read(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		m.fault(err)
	}
	if watched.Supervised {
		m.Supervised = watched.Kind.String()
	}
	if watched.Finishing {
		watched.PID = 0
	}
	seen := err == nil
	taker, taken, err := r.locks.Taker(dir, watched.PID)
	if errors.Is(err, fs.ErrPermission) {
		m.note("%v", err)
		m.State = Unknown
		return
	}
	if err != nil {
		m.fault(err)
	}
	pid := watched.PID
	if taker != nil {
		pid = taker.PID
	}
	p := proc{}
	if pid != 0 {
		p = look(pid)
	}
	switch {
	case p.pid == 0:
		m.without(watched)
		if taken {
			r.strays(m, dir, s)
		}
	case p.kernel:
		m.runs(dir, p, watched, taker)
	case watched.PID == p.pid || p.start():
		r.starts(m, dir, p)
	default:
		m.without(watched)
		m.note("process %d (%s) holds its lock: uml-jail, which runs a command in the jail", p.pid, p.name)
	}
	if m.Activated && seen && !watched.Supervised {
		m.note("linked into %s, and not supervised: nothing has looked there yet", r.service)
	}
	switch {
	case m.State == Down || watched.PID == 0:
	case watched.Told:
		m.State, m.Why = Stopping, ""
	case watched.Want != supervisor.Up: // "once" and "down" come to the same
		m.note("is not started again when it ends")
	}
}

// without is the state of a machine that has no process.
func (m *Machine) without(watched supervisor.Status) {
	m.State = Down
	if watched.Supervised && watched.Want == supervisor.Up {
		m.State = Starting
	}
	m.since(watched.Since)
}

// runs: the kernel is there.
func (m *Machine) runs(dir *handle.Dir, p proc, watched supervisor.Status, taker *lock.Holder) {
	m.State, m.PID, m.Resident = Up, p.pid, p.resident
	m.since(p.started)
	if n := lock.Read(dir); n.Up && !n.Since.Before(p.started.Add(-time.Second)) {
		m.since(n.Since) // what it waited before that is no uptime
	}
	if until := paused(p); until != "" {
		m.State, m.Why, m.Since = Paused, until, nil
	}
	m.attached(dir, p.pid)
	if taker == nil {
		m.note("it does not hold %s, which was deleted or let go: a second start would not see it there", dir.Join(lock.Name))
	}
	if watched.Supervised && watched.PID != p.pid {
		m.note("started by hand, not by its supervisor")
	}
}

// starts: uml-run is not yet the kernel.
func (r *Round) starts(m *Machine, dir *handle.Dir, p proc) {
	m.State, m.PID = Starting, p.pid
	m.since(p.started)
	switch p.name {
	case runscript.NameNoStart:
		m.State, m.Why = Waiting, "machines-nostart"
	case runscript.NameUptime:
		m.State, m.Why = Waiting, "min-uptime"
	case runscript.NameStagger:
		m.State, m.Why = Waiting, "stagger"
	case runscript.NamePace:
		m.State, m.Why = Waiting, r.place(p.pid)
	case runscript.NameRetry:
		m.State = Failing
		if n := lock.Read(dir); !n.Up && !n.Since.IsZero() {
			m.Why, m.WhyID = n.Message, n.ID
			m.since(n.Since)
		}
	}
}

// strays: a lock that nobody took who lives, and is held all the same.
func (r *Round) strays(m *Machine, dir *handle.Dir, s *settings.Machine) {
	if s == nil {
		return
	}
	all, err := r.census()
	if err != nil {
		m.fault(err)
		return
	}
	_, holders, err := lock.See(dir, s.User.UID, all)
	switch {
	case err != nil:
		m.fault(err)
	case len(holders) > 0:
		m.note("%s of a killed guest kernel, which the next start ends", lock.Describe(holders))
	}
}

func (m *Machine) since(t time.Time) {
	if !t.IsZero() {
		t = t.Truncate(time.Second)
		m.Since = &t
	}
}
