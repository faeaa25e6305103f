package netsetup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
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

// routes lists the routes of the main table that lead to the interface: ours, and
// the destinations of others that a route of ours would meet with EEXIST.
func (c *conn) routes(index int, families ...int) (ours []route, others []netip.Prefix, err error) {
	for _, f := range families {
		filter := &netlink.Route{LinkIndex: index, Table: unix.RT_TABLE_MAIN}
		list, err := whole(func() ([]netlink.Route, error) {
			return c.RouteListFiltered(f, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		})
		if gone(err) != nil {
			return nil, nil, fmt.Errorf("list routes: %w", err)
		}
		for _, n := range list {
			switch p, ok := prefix(n.Dst); {
			case ok && n.Protocol == Protocol:
				via, _ := netip.AddrFromSlice(n.Gw)
				ours = append(ours, route{p, via.Unmap()})
			case ok && n.Protocol != unix.RTPROT_KERNEL:
				others = append(others, p)
			}
		}
	}
	return ours, others, nil
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
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	list, err := whole(func() ([]netlink.Route, error) {
		return c.RouteListFiltered(int(family(p.Addr())), filter, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return errors.Join(exists, err)
	}
	for _, n := range list {
		if q, ok := prefix(n.Dst); !ok || q != p {
			continue
		}
		if l, err := c.linkAt(n.LinkIndex); err == nil && l != nil {
			return fault.Permanent("it is routed to %v (take it out of one of the two)", l)
		}
	}
	return exists
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits), ok
}
