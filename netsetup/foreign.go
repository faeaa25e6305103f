package netsetup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
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
	errs := []error{l.refusedTAP()}
	for _, a := range m.Addresses4() {
		errs = append(errs, l.foreign(a, netip.PrefixFrom(a, 32)))
	}
	for _, p := range m.IP6 {
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
	case r.Type == unix.RTN_LOCAL:
		return fault.Permanent("%v is the host's own address on %s (a guest needs one of its own)", a, dev.Name)
	case r.Type == unix.RTN_BROADCAST || r.Type == unix.RTN_MULTICAST || r.Type == unix.RTN_ANYCAST:
		return fault.Permanent("%v is the network's own on %s, not an address of one machine", a, dev.Name)
	case l.mine(dev):
		return nil
	case dev.Kind == "tun":
		return fault.Permanent("%v is routed to %v (take it out of one of the two)", a, dev)
	}
	if q, ok := prefix(r.Dst); ok && a.Is6() && q == p && r.Protocol == unix.RTPROT_KERNEL {
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
func (l *look) otherTAP(a netip.Addr) *link {
	_, dev, err := l.leadsTo(a)
	if err != nil || dev == nil || dev.Kind != "tun" || l.mine(dev) {
		return nil
	}
	return dev
}

// leadsTo is the kernel's route for the address, as its table has it. No route, or
// one that drops, leads nowhere: nobody's.
func (l *look) leadsTo(a netip.Addr) (r netlink.Route, dev *link, err error) {
	routes, err := l.RouteGetWithOptions(net.IP(a.AsSlice()), &netlink.RouteGetOptions{FIBMatch: true})
	for _, none := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES} {
		if errors.Is(err, none) {
			return r, nil, nil
		}
	}
	if err != nil {
		return r, nil, fmt.Errorf("look up route of %v: %w", a, err)
	}
	if len(routes) == 0 || routes[0].LinkIndex == 0 {
		return r, nil, nil
	}
	if l.ext != nil && routes[0].LinkIndex == l.ext.Index {
		return routes[0], l.ext, nil
	}
	dev, err = l.linkAt(routes[0].LinkIndex)
	return routes[0], dev, err
}
