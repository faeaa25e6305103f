package netsetup

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"uml/firewall"
	"uml/settings"
)

// rules is one step, for all guests of the host: what it does depends on what
// stands when its turn has come among a hundred that want the same.
func (l *look) rules() ([]Step, error) { return rules(l.h) }

func rules(h *settings.Host) ([]Step, error) {
	lines, err := firewall.Plan(h)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return []Step{{strings.Join(lines, "\n"), false, func(*conn) error {
		return firewall.Restore(context.Background(), h)
	}}}, nil
}

// firewall gives the host of running guests back what a flush of its firewall took,
// and makes known as guests' what is routed to them, and nothing else.
func (s *Survey) firewall() error {
	known, err := firewall.AllOwned()
	if err != nil {
		return err
	}
	routed := map[netip.Prefix]bool{}
	for _, o := range s.ours {
		for _, f := range o.routes {
			routed[f.to] = routed[f.to] || !o.Gone || s.inUse(o)
		}
	}
	for _, p := range known {
		if !routed[p] {
			s.steps = append(s.steps, Step{firewall.OwnText("del", p), true, func(*conn) error { return s.disown(p) }})
		}
	}
	covered := covers(known)
	var back []Step
	runs := false
	for _, o := range s.sorted() {
		if !o.TAP || o.bridged() || !s.inUse(o) {
			continue
		}
		runs = true
		for _, f := range o.routes {
			if !covered(f.to) {
				back = append(back, Step{firewall.OwnText("add", f.to), false, func(*conn) error { return firewall.Own(f.to) }})
			}
		}
	}
	if runs {
		steps, err := rules(s.h)
		s.steps = append(append(s.steps, steps...), back...)
		return err
	}
	return nil
}

// covers says of a prefix whether one of the list holds it: of 10,000 too.
func covers(all []netip.Prefix) func(netip.Prefix) bool {
	there := map[netip.Prefix]bool{}
	var sizes []int
	for _, p := range all {
		there[p] = true
		if !slices.Contains(sizes, p.Bits()) {
			sizes = append(sizes, p.Bits())
		}
	}
	return func(p netip.Prefix) bool {
		return slices.ContainsFunc(sizes, func(n int) bool {
			around, err := p.Addr().Prefix(n)
			return err == nil && n <= p.Bits() && there[around]
		})
	}
}

// disown looks again: a start makes its prefixes known before it routes them.
func (s *Survey) disown(p netip.Prefix) error {
	all, err := s.table(family(p.Addr()), 0)
	if err != nil || slices.ContainsFunc(all, func(f fact) bool { return f.protocol == Protocol && f.to == p }) {
		return err
	}
	return firewall.Disown(p)
}

// own are the steps that make the guest's addresses known as such, so that nobody
// else can forge them. With the rules to be made the set is too.
func own(w want, made bool) (steps []Step, err error) {
	_, unknown, err := firewall.Owned(prefixes(w.routes), made)
	for _, p := range unknown {
		steps = append(steps, Step{firewall.OwnText("add", p), false, func(*conn) error { return firewall.Own(p) }})
	}
	return steps, err
}

func disown(routes []route) (steps []Step, err error) {
	known, _, err := firewall.Owned(prefixes(routes), false)
	for _, p := range known {
		steps = append(steps, Step{firewall.OwnText("del", p), true, func(*conn) error { return firewall.Disown(p) }})
	}
	return steps, err
}

func prefixes(routes []route) (all []netip.Prefix) {
	for _, r := range routes {
		if !slices.Contains(all, r.to) {
			all = append(all, r.to)
		}
	}
	return all
}

// surplus are routes that are there and not wanted.
func surplus(there []route, w want) []route {
	return slices.DeleteFunc(slices.Clone(there), func(r route) bool {
		return slices.ContainsFunc(w.routes, func(o route) bool { return o.to == r.to })
	})
}
