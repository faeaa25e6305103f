package runscript

import (
	"slices"
	"strings"

	"uml/announce"
	"uml/netsetup"
	"uml/settings"
)

// planAddresses and planRest are the rest of a dry run: the steps that it does
// not take, in their order.
func (s *start) planAddresses(on *netsetup.Interface) error {
	release, up, err := netsetup.StartPlan(s.m, s.host)
	if err != nil {
		return err
	}
	s.up = up
	for _, l := range release {
		s.plan("net", "%s", l)
	}
	prepare, err := netsetup.PlanPrepare(s.m, s.host)
	if err != nil {
		return err
	}
	s.planBefore(prepare)
	if on == nil {
		return nil
	}
	for _, a := range Probed(s.m) {
		below := "ARP"
		if a.Is6() {
			below = "neighbour solicitation"
		}
		s.plan("probe", "%v on %s: ICMP echo, %s, silent for %v", a, on.Name, below, s.host.PingTimeout)
	}
	return nil
}

// planBefore prints what is done before its turn in what Up would do.
func (s *start) planBefore(lines []string) {
	for _, l := range lines {
		s.plan("net", "%s", l)
	}
	s.up = slices.DeleteFunc(s.up, func(l string) bool { return slices.Contains(lines, l) })
}

func (s *start) planRest() error {
	s.planMend()
	if s.m.Net.Kind == settings.None {
		var err error
		if s.up, err = netsetup.Plan(s.m, s.host); err != nil {
			return err
		}
	}
	if !s.m.HandsOver() {
		hold, err := netsetup.PlanHold(s.m, s.host)
		if err != nil {
			return err
		}
		s.planBefore(hold)
	}
	news := ""
	for _, l := range s.up {
		if comment, ok := strings.CutPrefix(l, "# "); ok {
			news = comment
			continue
		}
		s.plan("net", "%s", l)
	}
	if s.m.HandsOver() {
		s.plan("net", "open %s as descriptor %d, without offloads", s.m.TAP, s.tapNumber())
	}
	if news != "" {
		s.plan("say", "%s, and again in %v and %v", news, announce.Apart, 2*announce.Apart)
	}
	for _, l := range s.room.Plan() {
		s.plan("jail", "%s", l)
	}
	s.plan("exec", "/%s", strings.Join(s.args, " "))
	return nil
}
