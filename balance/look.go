package balance

import (
	"context"
	"fmt"
	"time"

	"uml/fault"
	"uml/handle"
	"uml/memory"
	"uml/pressure"
	"uml/roster"
	"uml/runscript"
	"uml/settings"
)

// seen is what was found of all.
type seen struct {
	host   Host
	ram    settings.Size
	guests []Guest
	dirs   map[string]string // of the guests' machines
	left   []left
}

// look asks the guests that may be touched, and reckons with the rest.
func (o Options) look(ctx context.Context, host *settings.Host) (*seen, error) {
	dirs, err := roster.Dirs(o.Machines)
	if err != nil {
		return nil, err
	}
	machines, err := roster.NewRound(o.Machines, "").Look(dirs, true)
	if err != nil {
		return nil, err
	}
	s := &seen{dirs: map[string]string{}}
	asked := make([]struct {
		Guest
		why   string
		plain bool
	}, len(machines))
	each(len(machines), func(i int) {
		m := machines[i]
		if asked[i].why, asked[i].plain = o.leave(m); asked[i].why == "" {
			g, err := o.ask(ctx, m)
			asked[i].Guest = g
			if err != nil {
				asked[i].why = fault.Line(err.Error())
			}
		}
	})
	for i, m := range machines {
		if a := asked[i]; a.why == "" {
			s.guests = append(s.guests, a.Guest)
			s.dirs[m.Name] = m.Dir
			continue
		}
		if m.PID != 0 {
			s.host.Owed += max(0, settings.Size(m.Promised-m.Resident))
			s.left = append(s.left, left{m.Name, m.Dir, asked[i].why, asked[i].plain})
		}
	}
	return s, s.lookAtHost(host)
}

// leave says why a guest is not asked, if so, and whether nothing is amiss with that.
func (o Options) leave(m *roster.Machine) (why string, plain bool) {
	young := m.Since == nil || time.Since(*m.Since) < o.Young // of one that is paused it is not known
	switch {
	case m.Least == 0:
		return "no mem-min", true
	case m.State == roster.Paused && m.Why != "":
		return "paused " + m.Why, false
	case m.State != roster.Up:
		return "is " + m.State, m.State != roster.Paused
	case len(m.Faults) > 0:
		return m.Faults[0], young
	case young:
		return fmt.Sprintf("is up for less than %v", o.Young), true
	}
	return "", false
}

func (o Options) ask(ctx context.Context, m *roster.Machine) (g Guest, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Time)
	defer cancel()
	r, err := runscript.OpenRAM(ctx, m.Dir)
	if err != nil {
		return g, err
	}
	defer r.Close()
	// The kernel's arguments are in its own memory: who broke out can have them say anything.
	most := min(r.Started(), settings.Size(m.Promised))
	if r.Now() > most {
		return g, fault.Temporary("has %v, more than settings/mem", r.Now())
	}
	info, err := r.Info(ctx)
	if err != nil {
		return g, err
	}
	waits, err := r.Pressure(ctx)
	if err != nil {
		return g, err
	}
	held, err := r.Held()
	if err != nil {
		return g, err
	}
	return Guest{m.Name, min(settings.Size(m.Least), most), most, r.Now(), held, info.Available, waits}, nil
}

func (s *seen) lookAtHost(host *settings.Host) (err error) {
	if s.ram, err = memory.OfHost(); err != nil {
		return err
	}
	text, err := handle.ReadProc("/proc/meminfo")
	if err != nil {
		return err
	}
	info, err := memory.Parse(string(text))
	if err != nil {
		return err
	}
	s.host.Available, s.host.Reserve = info.Available, host.MemReserve
	if host.MemReserve == 0 {
		s.host.Reserve = s.ram / 16
	}
	if p, err := pressure.Host(); err == nil {
		s.host.Pressure = p.Memory
	}
	return nil
}
