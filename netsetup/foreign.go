package netsetup

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// Foreign says what of the machine's network belongs to somebody else on this very
// host, or to its router: its TAP's name, its account, an address, its hardware
// address. It asks the kernel once for each, so a conflict that the routes do not
// show is found by comparing all machines' settings only.
func Foreign(m *settings.Machine, h *settings.Host) error {
	if m.Net.Kind == settings.None {
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
	switch l.m.Net.Kind {
	case settings.None:
		return nil
	case settings.Bridged:
		return l.foreignsBridged()
	}
	routers, err := l.routers()
	errs := []error{err, l.refusedTAP(), l.withoutIPv6(), l.foreignMAC()}
	for _, a := range l.m.Addresses4() {
		errs = append(errs, routed(a, netip.PrefixFrom(a, 32), routers), l.foreign(a, netip.PrefixFrom(a, 32)))
	}
	for i, p := range l.m.IP6 {
		err := errors.Join(routed(settings.Router(p), p, routers), l.foreign(settings.Router(p), p))
		if err == nil && i == 0 {
			err = errors.Join(l.hostHas(settings.Gateway(p)), l.hostHas(l.m.Autoconfigured(p)))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// routed: the host would send everything for the router to the guest.
func routed(a netip.Addr, p netip.Prefix, routers []netip.Addr) error {
	for _, r := range routers {
		switch {
		case r == a:
			return fault.AddressForeign.Permanent("%v is the router of this host's default route (a guest needs one of its own)", a)
		case p.Contains(r):
			return fault.AddressForeign.Permanent("%v holds %v, the router of this host's default route (a guest's prefix is routed to the host, not on its link)", p, r)
		}
	}
	return nil
}

func (l *look) foreignMAC() error {
	if l.ext == nil || !bytes.Equal(l.ext.MAC, l.m.MAC) {
		return nil
	}
	return fault.MACTaken.Permanent("%v is the host's own hardware address, of %s (choose another in settings/mac)", l.m.MAC, l.ext.Name)
}

// hostHas refuses an address of the guest's link that the host has elsewhere.
func (l *look) hostHas(a netip.Addr) error {
	r, dev, err := l.leadsTo(a)
	if err != nil || dev == nil || r.kind != unix.RTN_LOCAL || l.mine(dev) {
		return err
	}
	return hostsOwn(a, dev)
}

func hostsOwn(a netip.Addr, dev *link) error {
	return fault.AddressForeign.Permanent("%v is the host's own address on %s (a guest needs one of its own)", a, dev.Name)
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
		return hostsOwn(a, dev)
	case r.kind == unix.RTN_BROADCAST || r.kind == unix.RTN_MULTICAST || r.kind == unix.RTN_ANYCAST:
		return fault.AddressForeign.Permanent("%v is the network's own on %s, not an address of one machine", a, dev.Name)
	case l.mine(dev):
		return nil
	case dev.Kind == "tun":
		return fault.AddressForeign.Permanent("%v is routed to %v (take it out of one of the two)", a, dev)
	}
	if a.Is6() && r.to == p && r.protocol == unix.RTPROT_KERNEL {
		return fault.AddressForeign.Permanent("%v is the host's own network on %s (a guest's prefix is routed to the host, not on its link)", p, dev.Name)
	}
	return nil
}

// mine says whether dev is a TAP of this machine, or its beacon.
func (l *look) mine(dev *link) bool {
	if dev.Alias == Alias(l.m) {
		return true
	}
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
