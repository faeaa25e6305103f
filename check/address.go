package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"uml/fault"
	"uml/netsetup"
	"uml/probe"
	"uml/runscript"
	"uml/settings"
)

// addresses asks all at once: of a guest that is down nobody may answer, as a start
// has it; one that is up should.
func (c *checker) addresses(ctx context.Context) {
	var down, up []*machine
	for _, m := range c.machines {
		switch {
		case len(m.Addresses) == 0:
		case m.State == runscript.Down:
			down = append(down, m)
		case m.State == runscript.Up:
			up = append(up, m)
		default:
			m.warn("addresses", "not asked: a start is about to")
		}
	}
	for _, s := range c.segments(down) {
		c.probe(ctx, s.on, s.err, s.machines)
	}
	for _, s := range c.segments(up) {
		if s.bridged {
			c.askUp(ctx, s)
		} else {
			c.ping(ctx, s.on, s.machines)
		}
	}
}

func (c *checker) probe(ctx context.Context, external *netsetup.Interface, err error, down []*machine) {
	var all []netip.Addr
	for _, m := range down {
		all = append(all, runscript.Probed(m.Machine)...)
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, netip.Addr.Compare)
	var result probe.Result
	if err == nil {
		result, err = probe.Ask(ctx, external.Name, slices.Compact(all), c.h.PingTimeout)
	}
	said := map[netip.Addr]answer{}
	if err == nil {
		said = answers(result, external, all)
	}
	for _, m := range down {
		if err != nil {
			m.fail("addresses", err)
			continue
		}
		c.judgeSilence(m, external.Name, said)
	}
}

// An answer is what came of asking one address that should be silent.
type answer struct {
	fail error
	warn string
}

func answers(r probe.Result, on *netsetup.Interface, asked []netip.Addr) map[netip.Addr]answer {
	said := map[netip.Addr]answer{}
	external, known := on.Name, runscript.KnownOn(on, asked)
	for _, a := range r.Elsewhere {
		said[a.Address] = answer{warn: fmt.Sprintf("%v: %v answered on %s in its place", a.Address, a.From, external)}
	}
	for _, u := range r.Unasked {
		if what := runscript.Unasked(u, external); what != "" {
			said[u.Address] = answer{warn: what}
			if u.Blind {
				said[u.Address] = answer{fail: fault.Temporary("%s, nor in any other way", what)}
			}
		}
	}
	for _, a := range r.Rivals {
		said[a.Address] = answer{warn: known.Contested(a).Error()}
	}
	for _, a := range r.Answers {
		said[a.Address] = answer{fail: fmt.Errorf("%w (try: arping -I %s %v; and end it there)", known.Occupied(a), external, a.Address)}
	}
	return said
}

func (c *checker) judgeSilence(m *machine, external string, said map[netip.Addr]answer) {
	var silent []netip.Addr
	for _, a := range runscript.Probed(m.Machine) {
		switch s := said[a]; {
		case s.fail != nil:
			m.fail("addresses", s.fail)
		case s.warn != "":
			m.warn("addresses", "%s", s.warn)
		default:
			silent = append(silent, a)
		}
	}
	switch {
	case len(silent) == 0:
	case m.Left:
		m.warn("addresses", "silent, but the routes of the last run may lead the question astray (a start takes them away first; try: uml-net down %s): %s", m.Machine.Real, few(silent))
	default:
		m.ok("addresses", "silent on %s for %v: %s", external, c.h.PingTimeout, few(silent))
	}
}

func (c *checker) ping(ctx context.Context, external *netsetup.Interface, up []*machine) {
	var all []asked
	source := sourceOn(external)
	for _, m := range up {
		for _, a := range m.Addresses {
			from := source
			if a.Is6() {
				from = settings.Gateway(m.Machine.IP6[0]).String()
			}
			all = append(all, asked{a, from})
		}
	}
	answered := pingAll(ctx, all, c.h.PingTimeout)
	for _, m := range up {
		judgeAnswers(m, "a ping", answered, c.h.PingTimeout)
	}
}

// sourceOn is the host's address towards the network: a TAP has none of its own.
func sourceOn(external *netsetup.Interface) string {
	if external == nil {
		return ""
	}
	i, err := net.InterfaceByIndex(external.Index)
	if err != nil {
		return ""
	}
	addrs, err := i.Addrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return ""
}

// judgeAnswers: silence is no fault, since a guest's firewall may drop pings and
// its user choose which of its addresses it has.
func judgeAnswers(m *machine, how string, answered map[netip.Addr]error, timeout fmt.Stringer) {
	var yes, no []netip.Addr
	for _, a := range m.Addresses {
		if answered[a] == nil {
			yes = append(yes, a)
		} else {
			no = append(no, a)
		}
	}
	if len(yes) > 0 {
		m.ok("addresses", "answer %s: %s", how, few(yes))
	}
	for _, six := range []bool{false, true} {
		silent := slices.DeleteFunc(slices.Clone(no), func(a netip.Addr) bool { return a.Is6() != six })
		if len(silent) == 0 || six && m.Machine.Net.Kind == settings.Routed && slices.ContainsFunc(yes, netip.Addr.Is6) {
			continue // a guest has one of the two addresses of its /64
		}
		m.warn("addresses", "%v to %s within %v (guest not booted, address not set in it, or its firewall): %s", answered[silent[0]], how, timeout, few(silent))
	}
}
