package runscript

import (
	"context"
	"fmt"
	"time"

	"uml/fault"
	"uml/pace"
	"uml/settings"
)

// A pacing is what a start has of the host's pace, from one reading of its settings to
// the next.
type pacing struct {
	say    func(fault.ID, string)
	passed bool          // it has had its turn
	gather time.Duration // all come out of the same gap, but see its end within so long: the queue is to order them
	slot   *pace.Slot    // nil: it needs none
}

// takeTurn is the last of step 2: where many are to start, they do a few at a time. If the
// start had to wait it begins again, with its slot: what is checked is to be fresh.
//
// A queue that cannot be used keeps no guest down.
func (s *start) takeTurn(ctx context.Context, p *pacing) (again bool, err error) {
	if s.DryRun {
		s.planTurn()
	}
	if s.DryRun || p.passed {
		return false, nil
	}
	defer tell(nameBusy)
	signs := signs{}
	slot, waited, err := pace.Take(ctx, pace.Start{
		Guest:    s.guest(),
		Priority: s.m.Priority,
		Dir:      pace.Dir,
		Pace:     s.pace,
		Gather:   p.gather,
		Booted:   signs.booted,
		Waits: func(place, of int, why string) {
			tell(NamePace)
			s.Say(fault.WaitsPace, fmt.Sprintf("waits: %s", Place(place, of, why)))
		},
	})
	again = waited || p.gather > 0
	p.passed, p.gather, p.slot = true, 0, slot
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		s.Say(fault.PaceUnusable, fmt.Sprintf("warning: starts without waiting for others: %v", err))
	}
	return again, nil
}

// Place says what a start waits for.
func Place(place, of int, why string) string {
	return fmt.Sprintf("pace: place %d of %d, for %s", place, of, why)
}

// pace is the host's as it is now: who waits is let go when it is set to 0.
func (s *start) pace() settings.Pace {
	host, err := settings.ReadHost(s.HostDir)
	if err != nil {
		return s.host.Pace
	}
	return host.Pace
}

// guest is what those who wait need to know of this one while it boots. An address of
// each kind is enough.
func (s *start) guest() pace.Guest {
	g := pace.Guest{User: s.m.User.UID, Name: s.m.Name}
	switch s.m.Net.Kind {
	case settings.None:
		return g
	case settings.Bridged: // what comes in at a port is the bridge's
		g.On = s.m.Net.Bridge
	default:
		g.On = s.m.TAP
	}
	if len(s.m.IP4) > 0 {
		g.Addresses = append(g.Addresses, s.m.IP4[0].Addr())
	}
	if len(s.m.IP6) > 0 {
		g.Addresses = append(g.Addresses, s.m.Addresses6(0)...)
	}
	return g
}

// end lets the slot go. The calling thread may be in the jail.
func (p *pacing) end() {
	if p.slot != nil && !isUsers() {
		if err := elsewhere(p.slot.Close); err != nil {
			p.say(fault.PaceUnusable, fmt.Sprintf("warning: its slot is free only when this process ends: %v", err))
		}
	}
	p.passed, p.slot = false, nil
}

// planTurn says what a start would find.
func (s *start) planTurn() {
	most := s.host.Pace
	if most.Slots == 0 {
		return
	}
	now, err := pace.Look(pace.Dir)
	if err != nil {
		s.plan("check", "pace: %v", err)
		return
	}
	s.plan("pace", "%d of %d slots are taken, %d starts wait; priority %d", now.Booting(most.Limit), most.Slots, len(now.Waiting), s.m.Priority)
}
