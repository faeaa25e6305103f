package netsetup

import (
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
	return []Step{{strings.Join(lines, "\n"), false, func(c *conn) error {
		return firewall.Restore(c.ctx, h)
	}}}, nil
}

// restore makes the rules stand, and with them what makes guests' TAPs and prefixes
// known.
func (s *Survey) restore(own []Step) error {
	steps, err := rules(s.h)
	s.steps = append(append(s.steps, steps...), own...)
	s.regroup()
	return err
}

// disownSteps: known as guests' is what is routed to them, and nothing else.
func (s *Survey) disownSteps(known []netip.Prefix) {
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
}

// regroup gives TAPs of running guests back the group by which the rules know them.
func (s *Survey) regroup() {
	for _, o := range s.sorted() {
		if o.TAP && o.Machine != nil && o.Machine.TAP == o.Name && o.Machine.Net.Kind == settings.Routed && o.LinkGroup != firewall.Group && s.inUse(o) {
			s.steps = append(s.steps, s.regroupStep(o))
		}
	}
}

// regroupStep looks again whether the TAP is still the guest's.
func (s *Survey) regroupStep(o *owned) Step {
	set := setGroup(o.Name, firewall.Group)
	return Step{set.Text, false, func(c *conn) error {
		l, err := c.linkAt(o.Index)
		if err != nil || l == nil || l.Alias != o.Alias || l.Name != o.Name {
			return err
		}
		return set.do(c)
	}}
}

func (s *Survey) ownSteps(known []netip.Prefix, of func(*owned) bool) (steps []Step) {
	covered := covers(known)
	for _, o := range s.sorted() {
		if !o.TAP || o.bridged() || !of(o) {
			continue
		}
		for _, f := range o.routes {
			if !covered(f.to) {
				steps = append(steps, Step{firewall.OwnText("add", f.to), false, func(*conn) error { return firewall.Own(f.to) }})
			}
		}
	}
	return steps
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

// disown looks again, before and after: a start routes its prefixes before it makes them
// known, so that one which did both in between is seen by its route.
func (s *Survey) disown(p netip.Prefix) error {
	if routed, err := s.routed(p); err != nil || routed {
		return err
	}
	if err := firewall.Disown(p); err != nil {
		return err
	}
	routed, err := s.routed(p)
	if err != nil || !routed {
		return err
	}
	return firewall.Own(p)
}

func (s *Survey) routed(p netip.Prefix) (bool, error) {
	all, err := s.table(family(p.Addr()), 0)
	return slices.ContainsFunc(all, func(f fact) bool { return f.protocol == Protocol && f.to == p }), err
}

// own are the steps that make the guest's addresses known as such, so that nobody
// else can forge them. With the rules to be made the set is too. What is not routed yet
// may be known from the last run, and a gc is to take that away: it is made known all the
// same.
func own(w want, there []route, made bool) (steps []Step, err error) {
	known, unknown, err := firewall.Owned(prefixes(w.routes), made)
	routed := prefixes(there)
	for _, p := range known {
		if !slices.Contains(routed, p) {
			unknown = append(unknown, p)
		}
	}
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
