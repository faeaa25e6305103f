package netsetup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"uml/fault"
)

// A route leads to a TAP, directly or through the guest.
type route struct {
	to  netip.Prefix
	via netip.Addr // zero: on the link
}

// text is the ip(8) command.
func (r route) text(verb, dev string) string {
	ip, via := "ip route", ""
	if r.to.Addr().Is6() {
		ip = "ip -6 route"
	}
	if r.via.IsValid() {
		via = " via " + r.via.String()
	}
	return fmt.Sprintf("%s %s %v%s dev %s proto %d", ip, verb, r.to, via, dev, Protocol)
}

// netlink is r as the library wants it.
func (r route) netlink(index int) *netlink.Route {
	n := &netlink.Route{
		LinkIndex: index,
		Table:     unix.RT_TABLE_MAIN,
		Protocol:  Protocol,
		Type:      unix.RTN_UNICAST,
		Dst:       ipNet(r.to),
		Gw:        r.via.AsSlice(),
	}
	if !r.via.IsValid() {
		n.Scope = netlink.SCOPE_LINK
	}
	return n
}

// A fact is a route as the kernel tells it.
type fact struct {
	route
	index    int          // of the interface, the first of several
	hops     []netip.Addr // the routers, of all ways
	kind     uint8
	protocol uint8
}

// table lists the main table, or only its routes to one interface.
func (c *conn) table(family uint8, index int) (all []fact, err error) {
	m := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Table: unix.RT_TABLE_MAIN}}
	parts := []nl.NetlinkRequestData{m}
	if index > 0 {
		parts = append(parts, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	}
	msgs, err := whole(func() ([][]byte, error) { return c.request(unix.RTM_GETROUTE, unix.NLM_F_DUMP, parts...) })
	if gone(err) != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, b := range msgs {
		f := parseRoute(b)
		if m := nl.DeserializeRtMsg(b); m.Table == unix.RT_TABLE_MAIN && m.Flags&unix.RTM_F_CLONED == 0 && (index == 0 || f.index == index) {
			all = append(all, f)
		}
	}
	return all, nil
}

// lookUp is the entry of the tables that the host would send a packet to a by
// (FIB_MATCH, 4.13): one look, where a list grows with every guest. None, or one
// that drops packets, is nil.
func (c *conn) lookUp(a netip.Addr) (*fact, error) {
	m := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family(a), Dst_len: uint8(a.BitLen()), Flags: unix.RTM_F_FIB_MATCH}}
	msgs, err := c.request(unix.RTM_GETROUTE, 0, m, nl.NewRtAttr(unix.RTA_DST, a.AsSlice()))
	for _, none := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES} {
		if errors.Is(err, none) {
			return nil, nil
		}
	}
	if err != nil || len(msgs) == 0 {
		return nil, err
	}
	f := parseRoute(msgs[0])
	switch f.kind {
	case unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW: // IPv6 tells these as routes
		return nil, nil
	}
	return &f, nil
}

func parseRoute(b []byte) (f fact) {
	m := nl.DeserializeRtMsg(b)
	attrs := attributes(b[m.Len():])
	f.kind, f.protocol = m.Type, m.Protocol
	to, ok := netip.AddrFromSlice(attrs[unix.RTA_DST])
	if !ok { // a default route has none
		to = netip.IPv4Unspecified()
		if m.Family == unix.AF_INET6 {
			to = netip.IPv6Unspecified()
		}
	}
	f.to = netip.PrefixFrom(to, int(m.Dst_len))
	f.via, _ = netip.AddrFromSlice(attrs[unix.RTA_GATEWAY])
	if f.via.IsValid() {
		f.hops = []netip.Addr{f.via}
	}
	if v := attrs[unix.RTA_OIF]; len(v) == 4 {
		f.index = int(number(v))
	}
	f.parseWays(attrs[unix.RTA_MULTIPATH])
	return f
}

// parseWays reads a list of struct rtnexthop, each with its attributes.
func (f *fact) parseWays(b []byte) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			return
		}
		if f.index == 0 {
			f.index = int(number(b[4:]))
		}
		if via, ok := netip.AddrFromSlice(attributes(b[unix.SizeofRtNexthop:size])[unix.RTA_GATEWAY]); ok {
			f.hops = append(f.hops, via)
		}
		b = b[min((size+3)&^3, len(b)):] // aligned to 4
	}
}

// add never takes the place of a route that is there: the same address routed to
// another machine's TAP would be stolen from it, even while that guest runs.
func (r route) add(c *conn, index int) error {
	err := c.RouteAdd(r.netlink(index))
	if errors.Is(err, unix.EEXIST) {
		return c.taken(r.to, err)
	}
	return err
}

// taken names who has the route. Only a failure pays for the list of all routes.
func (c *conn) taken(p netip.Prefix, exists error) error {
	l, err := c.holder(p.Addr(), func(f fact, _ *link) bool { return f.to == p })
	if err != nil || l == nil {
		return errors.Join(exists, err)
	}
	return fault.AddressForeign.Permanent("it is routed to %v (take it out of one of the two)", l)
}

// holder is the interface of the first fitting route in the list of all: one to a
// dead guest's TAP, which the kernel's look-up passes over, is only there.
func (c *conn) holder(a netip.Addr, fits func(fact, *link) bool) (*link, error) {
	all, err := c.table(family(a), 0)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if !f.to.Contains(a) {
			continue
		}
		if l, err := c.linkAt(f.index); err != nil || l != nil && fits(f, l) {
			return l, err
		}
	}
	return nil, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
