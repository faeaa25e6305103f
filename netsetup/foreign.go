package netsetup

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// Foreign says what of the machine's network belongs to somebody else on this very
// host: its TAP's name, its account, or an address. It asks the kernel once for
// each, so a conflict that the routes do not show is found by comparing all
// machines' settings only.
func Foreign(m *settings.Machine, h *settings.Host) error {
	if m.Net.Kind != settings.Routed {
		return nil
	}
	l, err := lookAt(m, h)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.foreigns()
}

func (l *look) foreigns() error {
	if l.m.Net.Kind != settings.Routed {
		return nil
	}
	errs := []error{l.refusedTAP()}
	for _, a := range l.m.Addresses4() {
		errs = append(errs, l.foreign(a, netip.PrefixFrom(a, 32)))
	}
	for _, p := range l.m.IP6 {
		errs = append(errs, l.foreign(settings.Router(p), p))
	}
	return errors.Join(errs...)
}

// foreign says why a guest cannot have what p names, by where the host would send
// a packet to a.
func (l *look) foreign(a netip.Addr, p netip.Prefix) error {
	r, dev, err := l.leadsTo(a)
	if err != nil || dev == nil {
		return err
	}
	switch {
	case r.kind == unix.RTN_LOCAL:
		return fault.Permanent("%v is the host's own address on %s (a guest needs one of its own)", a, dev.Name)
	case r.kind == unix.RTN_BROADCAST || r.kind == unix.RTN_MULTICAST || r.kind == unix.RTN_ANYCAST:
		return fault.Permanent("%v is the network's own on %s, not an address of one machine", a, dev.Name)
	case l.mine(dev):
		return nil
	case dev.Kind == "tun":
		return fault.Permanent("%v is routed to %v (take it out of one of the two)", a, dev)
	}
	if a.Is6() && r.to == p && r.protocol == unix.RTPROT_KERNEL {
		return fault.Permanent("%v is the host's own network on %s (a guest's prefix is routed to the host, not on its link)", p, dev.Name)
	}
	return nil
}

// mine says whether dev is a TAP of this machine.
func (l *look) mine(dev *link) bool {
	for _, t := range l.ours() {
		if t.Index == dev.Index {
			return true
		}
	}
	return false
}

// otherTAP is the TAP of another that the address is routed to, or nil.
func (l *look) otherTAP(a netip.Addr) (*link, error) {
	return l.holder(a, func(_ fact, dev *link) bool { return dev.Kind == "tun" && !l.mine(dev) })
}

// leadsTo is where the host would send a packet to a. Nowhere: no interface.
func (l *look) leadsTo(a netip.Addr) (*fact, *link, error) {
	f, err := l.lookUp(a)
	if err != nil {
		return nil, nil, fmt.Errorf("look up route of %v: %w", a, err)
	}
	if f == nil || f.index == 0 {
		return nil, nil, nil
	}
	if l.ext != nil && f.index == l.ext.Index {
		return f, l.ext, nil
	}
	dev, err := l.linkAt(f.index)
	return f, dev, err
}
