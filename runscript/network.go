package runscript

import (
	"bufio"
	"context"
	"fmt"

	"uml/fault"
	"uml/lock"
	"uml/netsetup"
	"uml/settings"
)

// NetUp gives the machine its network, the guest up or down; with DryRun it says
// how. Nobody is asked whether an address is free: that is a start's work.
func NetUp(ctx context.Context, o Options) error {
	signals := catch(ctx)
	defer signals.stop()
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.close()
	if o.DryRun {
		return o.list(netsetup.Plan(s.m, s.host))
	}
	news, err := netsetup.Up(signals.ctx, s.m, s.host)
	if err != nil {
		return err
	}
	s.announce(news).Leave()
	if news.Made {
		return s.cutOff()
	}
	return nil
}

// cutOff says of a guest that runs though its TAP was gone: its kernel has the old
// one open, which leads nowhere.
func (s *start) cutOff() error {
	locks, err := lock.TakeCensus()
	if err != nil {
		return err
	}
	by, _, err := lock.See(s.dir, s.m.User.UID, locks)
	if by != nil && isKernel(by.PID) {
		s.Say(fault.CutOff, fmt.Sprintf("warning: %s was gone and is made anew, but the guest that runs (process %d) cannot open it: it is cut off until it is started again", s.m.TAP, by.PID))
	}
	return err
}

// NetDown takes the machine's network away. It holds the lock meanwhile: a guest
// that runs would be cut off for good, since its kernel does not open the next
// TAP of that name.
func NetDown(_ context.Context, o Options) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.close()
	if o.DryRun {
		return o.list(netsetup.DownPlan(s.m, s.host))
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	return netsetup.Down(s.m, s.host)
}

// NetShow prints what the machine has of its network, and what is amiss.
func NetShow(_ context.Context, o Options) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := netsetup.Look(s.m, s.host)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(o.Out, state)
	return err
}

// NetShowAll prints what all machines have, read in one look.
func NetShowAll(_ context.Context, o Options) error {
	host, err := settings.ReadHost(o.HostDir)
	if err != nil {
		return err
	}
	s, err := netsetup.TakeSurvey(host, func(string) netsetup.Owner { return netsetup.Owner{} })
	if err != nil {
		return err
	}
	defer s.Close()
	out := bufio.NewWriter(o.Out)
	for _, t := range s.States() {
		fmt.Fprint(out, &t)
	}
	return out.Flush()
}

func (o Options) list(lines []string, err error) error {
	for _, l := range lines {
		fmt.Fprintln(o.Out, l)
	}
	return err
}
