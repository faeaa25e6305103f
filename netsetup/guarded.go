package netsetup

import (
	"fmt"
	"maps"
	"net/netip"
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

// admitSteps make the filter whole and let it know the guest. A guest that may use
// any address has no need of it.
func (l *look) admitSteps() ([]Step, error) {
	if !l.m.Guarded() {
		return nil, nil
	}
	f, err := l.guard()
	if err != nil {
		return nil, err
	}
	whole, err := wholeSteps(f)
	if err != nil {
		return nil, err
	}
	g := identity(l.m)
	lacks, err := f.Lacks(g)
	return append(whole, admitSteps(f, g, lacks)...), err
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

// Filtered is what the filter has of a guest.
type Filtered struct {
	Addresses []netip.Addr // the guest's, if it is whole
	Packets   uint64       // dropped since its addresses were last set
	Bytes     uint64
}

func (l *look) completeBridged(s *State) error {
	t := l.tap.link
	if t == nil {
		return nil
	}
	if t.Master != 0 {
		bridge, err := l.linkAt(t.Master)
		if err != nil {
			return err
		}
		if bridge != nil {
			s.Bridge = bridge.Name
		}
	}
	if t.LinkGroup != guard.Group {
		return nil
	}
	f, err := l.guard()
	if err != nil {
		return err
	}
	r, err := f.Record(t.Name)
	if err != nil || r == nil {
		return err
	}
	g := identity(l.m)
	s.Filtered = &Filtered{slices.Concat(g.IP4, g.IP6), r.Packets, r.Bytes}
	return nil
}

// bridged are the lines of a guest on a bridge.
func (s *State) bridged() string {
	var b strings.Builder
	if s.Bridge != "" {
		fmt.Fprintf(&b, "bridged: on %s\n", s.Bridge)
	}
	if f := s.Filtered; f != nil {
		for _, a := range f.Addresses {
			fmt.Fprintf(&b, "own: %v\n", a)
		}
		fmt.Fprintf(&b, "dropped: %d packets, %d bytes, not from its own addresses\n", f.Packets, f.Bytes)
	}
	return b.String()
}

// filterSteps: the filter forgets what is no TAP of the host's any more, and gets back
// what somebody else took from it (nft flush ruleset).
func (g *Survey) filterSteps(links []*link) error {
	f, err := g.guard()
	if err != nil {
		return nil // a kernel without it has nothing of ours
	}
	known, altered, err := f.Known()
	if err != nil {
		return err
	}
	g.filtered = known
	if err := g.refill(f, altered); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !slices.ContainsFunc(links, func(l *link) bool { return l.Name == name && g.keeps(l) }) {
			g.steps = append(g.steps, expelStep(f, name))
		}
	}
	return nil
}

func (g *Survey) keeps(l *link) bool {
	o := g.ours[l.Index]
	return o == nil || !o.Gone || o.opened()
}

func (g *Survey) refill(f *guard.Filter, altered []string) error {
	looked := false
	for _, o := range g.sorted() {
		if o.LinkGroup != guard.Group || o.Machine == nil || !o.Machine.Guarded() || o.Machine.TAP != o.Name {
			continue
		}
		if !looked {
			looked = true
			steps, err := wholeSteps(f)
			if err != nil {
				return err
			}
			g.steps = append(g.steps, steps...)
		}
		if _, known := g.filtered[o.Name]; known && !slices.Contains(altered, o.Name) {
			continue
		}
		id := identity(o.Machine)
		lacks, err := f.Change(id)
		if err != nil {
			return err
		}
		g.steps = append(g.steps, admitSteps(f, id, lacks)...)
	}
	return nil
}

func expelStep(f *guard.Filter, tap string) Step {
	return Step{fmt.Sprintf("nft delete element bridge %s guests { %q }, and all others of %s", guard.Table, tap, tap), true,
		func(*conn) error { return f.Expel(tap) }}
}

// FilterTable is the table of nftables that holds bridged guests to their addresses.
const FilterTable = guard.Table

// A FilterState is what the filter is as a whole.
type FilterState struct {
	Amiss   string   // what of its rules is not as it must be; "" for nothing
	Held    int      // TAPs that it knows
	Altered []string // those whose elements are not what was last set
}

// LookFilter lists the whole of it, which no start does.
func LookFilter() (*FilterState, error) {
	f, err := guard.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &FilterState{}
	if s.Amiss, err = f.Amiss(); err != nil {
		return nil, err
	}
	known, altered, err := f.Known()
	s.Held, s.Altered = len(known), altered
	return s, err
}
