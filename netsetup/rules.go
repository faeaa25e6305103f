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

// restoreRules gives running guests' host back what a flush of its firewall took.
func (s *Survey) restoreRules() error {
	for _, o := range s.ours {
		if o.TAP && !o.bridged() && s.inUse(o) {
			steps, err := rules(s.h)
			s.steps = append(s.steps, steps...)
			return err
		}
	}
	return nil
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
