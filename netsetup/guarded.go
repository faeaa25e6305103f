package netsetup

import (
	"fmt"
	"slices"
	"strings"

	"uml/firewall"
	"uml/guard"
	"uml/settings"
)

// identity is the machine as the filter knows it. Its link-local address is its own if
// it may speak IPv6 at all.
func identity(m *settings.Machine) guard.Guest {
	g := guard.Guest{TAP: m.TAP, MAC: m.MAC, IP4: m.Addresses4()}
	for i := range m.IP6 {
		g.IP6 = append(g.IP6, m.Addresses6(i)...)
	}
	if len(m.IP6) > 0 {
		g.IP6 = append(g.IP6, m.LinkLocal())
	}
	return g
}

// group is the link group of the machine's TAP, by which the rules for its kind know
// it: 0, the kernel's default, is known to none.
func group(m *settings.Machine) uint32 {
	switch {
	case m.Net.Kind == settings.Routed:
		return firewall.Group
	case m.Guarded():
		return guard.Group
	}
	return 0
}

// guard opens the filter's sockets at the first use: most machines have none.
func (c *conn) guard() (*guard.Filter, error) {
	if c.filter != nil {
		return c.filter, nil
	}
	f, err := guard.Open()
	c.filter = f
	return f, err
}

// wholeSteps make the filter whole. A guest that may use any address has no need of
// it.
func (l *look) wholeSteps() ([]Step, error) {
	if !l.m.Guarded() {
		return nil, nil
	}
	f, err := l.guard()
	if err != nil {
		return nil, err
	}
	return wholeSteps(f)
}

// admitSteps let the filter know the guest.
func (l *look) admitSteps() ([]Step, error) {
	if !l.m.Guarded() {
		return nil, nil
	}
	f, err := l.guard()
	if err != nil {
		return nil, err
	}
	g := identity(l.m)
	lacks, err := f.Lacks(g)
	return admitSteps(f, g, lacks), err
}

func wholeSteps(f *guard.Filter) ([]Step, error) {
	why, err := f.Amiss()
	if err != nil || why == "" {
		return nil, err
	}
	return []Step{{fmt.Sprintf("nft table bridge %s: make its sets, chains and rules (%s)", guard.Table, why), false,
		func(*conn) error { return f.Install() }}}, nil
}

func admitSteps(f *guard.Filter, g guard.Guest, lacks []string) []Step {
	if len(lacks) == 0 {
		return nil
	}
	return []Step{{fmt.Sprintf("nft '%s'", strings.Join(lacks, "; ")), false,
		func(*conn) error { return f.Admit(g) }}}
}

// expelSteps make the filter forget a TAP.
func (l *look) expelSteps(tap string) ([]Step, error) {
	f, err := l.guard()
	if err != nil {
		return nil, err
	}
	r, err := f.Record(tap)
	if err != nil || r == nil {
		return nil, err
	}
	return []Step{expelStep(f, tap)}, nil
}

// forgetSteps are expelSteps for each TAP that the filter may have of the machine:
// of one that was removed by hand too.
func (l *look) forgetSteps() (steps []Step, err error) {
	var names []string
	if l.m.Guarded() {
		names = append(names, l.m.TAP)
	}
	for _, t := range l.ours() {
		if t.LinkGroup == guard.Group && !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	for _, n := range names {
		more, err := l.expelSteps(n)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

func expelStep(f *guard.Filter, tap string) Step {
	return Step{fmt.Sprintf("nft delete element bridge %s guests { %q }, and all others of %s", guard.Table, tap, tap), true,
		func(*conn) error { return f.Expel(tap) }}
}
