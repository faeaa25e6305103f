package netsetup

import (
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"uml/settings"
)

// A look is what is there of a machine's network, found in single look-ups whose
// number depends on nothing but the machine's own addresses.
type look struct {
	*conn
	m *settings.Machine
	h *settings.Host

	tap  held  // by its name; ours or not
	old  held  // this machine's TAP, if that has another name
	live *link // this machine's beacon
	user *link // the TAP that serves the account, whosever

	released bool         // see forget
	fresh    []netip.Addr // that up publishes, and were not

	ext    *link // nil: none, for extErr
	extErr error
}

// held is an interface with what it holds of ours.
type held struct {
	*link
	routes []route
	others []netip.Prefix // routes of others to it
	addrs  []netip.Prefix // IPv6 addresses of ours on it
}

func lookAt(m *settings.Machine, h *settings.Host) (*look, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	l := &look{conn: c, m: m, h: h}
	if err := l.find(); err != nil {
		c.Close()
		return nil, err
	}
	l.ext, l.extErr = c.external(h)
	return l, nil
}

func (l *look) find() (err error) {
	if l.tap.link, err = l.link(l.m.TAP); err != nil {
		return err
	}
	if l.old.link, err = l.link(machineName(l.m)); err != nil {
		return err
	}
	if o := l.old.link; o != nil && (o.Name == l.m.TAP || o.Alias != Alias(l.m)) {
		l.old = held{}
	}
	if err := errors.Join(l.holds(&l.tap), l.holds(&l.old)); err != nil {
		return err
	}
	if l.live, err = l.link(beaconName(l.m)); err != nil {
		return err
	}
	if b := l.live; b != nil && (b.Kind != "tun" || b.TAP || b.Alias != Alias(l.m)) {
		l.live = nil
	}
	l.user, err = l.link(userName(l.m))
	return err
}

func (l *look) holds(n *held) (err error) {
	if n.link == nil || !n.TAP {
		return nil
	}
	if err := l.holdsOf(n, unix.AF_INET); err != nil || !ipv6() {
		return err
	}
	if n.addrs, err = l.addresses6(n.Index); err != nil {
		return err
	}
	return l.holdsOf(n, unix.AF_INET6)
}

func (l *look) holdsOf(n *held, family uint8) error {
	all, err := l.table(family, n.Index)
	for _, f := range all {
		switch f.protocol {
		case Protocol:
			n.routes = append(n.routes, f.route)
		case unix.RTPROT_KERNEL:
		default:
			n.others = append(n.others, f.to)
		}
	}
	return err
}

// ours lists the machine's TAPs: one, but for a change of its name.
func (l *look) ours() (all []held) {
	if l.tap.link != nil && judge(l.tap.link, l.m) != foreign {
		all = append(all, l.tap)
	}
	if l.old.link != nil {
		all = append(all, l.old)
	}
	return all
}

// A claim is an address published on an interface.
type claim struct {
	addr  netip.Addr
	index int
	dev   string
}

// claims lists what is published of the machine: of the addresses that its routes
// record, and of those that its settings name and nobody else's TAP has.
func (l *look) claims() ([]claim, error) {
	if l.released {
		return nil, nil
	}
	var recorded []netip.Addr
	for _, h := range l.ours() {
		for _, r := range h.routes {
			recorded = append(recorded, l.addresses(r.to)...)
		}
	}
	found, err := l.publishedOf(slices.Concat(recorded, l.m.Addresses()))
	if err != nil {
		return nil, err
	}
	var all []claim
	for _, c := range found {
		if !slices.Contains(recorded, c.addr) { // rare: the TAP was removed by hand, or two machines name it
			other, err := l.otherTAP(c.addr)
			if err != nil {
				return nil, err
			}
			if other != nil {
				continue
			}
		}
		all = append(all, c)
	}
	return all, nil
}

func (l *look) publishedOf(addrs []netip.Addr) (all []claim, err error) {
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	if l.ext == nil {
		return l.publishedAnywhere(addrs)
	}
	for _, a := range addrs {
		there, err := l.published(a, l.ext.Index)
		if err != nil {
			return nil, err
		}
		if there {
			all = append(all, claim{a, l.ext.Index, l.ext.Name})
		}
	}
	return all, nil
}

// publishedAnywhere is for a host that lost its external interface's setting or
// default route, but not what was published: only then all neighbours are read.
func (l *look) publishedAnywhere(addrs []netip.Addr) (all []claim, err error) {
	list, err := l.proxies()
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		if !slices.Contains(addrs, n.addr) {
			continue
		}
		if dev, err := l.linkAt(n.index); err == nil && dev != nil {
			all = append(all, claim{n.addr, n.index, dev.Name})
		}
	}
	return all, nil
}

// addresses are those of a prefix that may be published: of IPv4 each.
func (l *look) addresses(p netip.Prefix) (all []netip.Addr) {
	if p.Addr().Is6() {
		return []netip.Addr{settings.Router(p), l.m.Autoconfigured(p)}
	}
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		all = append(all, a)
	}
	return all
}

// forget makes the look one at a host where release has been done.
func (l *look) forget() {
	l.released, l.tap.routes, l.old.routes, l.live = true, nil, nil, nil
}
