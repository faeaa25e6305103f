package frames

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// neighbours are false messages of neighbour discovery and of group membership.
func (s Scene) neighbours() []row {
	g, o, r := s.Guest, s.Other, s.Router
	none := netip.IPv6Unspecified()
	report := icmp6(143, slices.Concat([]byte{0, 0, 0, 1, 4, 0, 0, 0}, addr("ff02::fb").AsSlice())...)
	query := icmp6(130, slices.Concat([]byte{0, 100, 0, 0}, none.AsSlice(), []byte{2, 125, 0, 0})...)
	return []row{
		{"NS from another guest's", Both, false, s.packet(o.IP6, node(r.IP6), solicit(r.IP6, source(g.MAC)))},
		{"NS from another guest's link-local", Bridged, false, s.packet(o.Link, node(r.IP6), solicit(r.IP6, source(g.MAC)))},
		{"NS from the router's", Both, false, s.packet(r.IP6, node(o.IP6), solicit(o.IP6, source(g.MAC)))},
		{"NS with another's hardware address", Bridged, false, s.packet(g.Link, node(r.IP6), solicit(r.IP6, source(o.MAC)))},
		{"DAD of another guest's address", Bridged, false, s.packet(none, node(o.IP6), solicit(o.IP6, nil))},
		{"NA of another guest's address", Both, false, s.packet(g.Link, everyNode, advertise(o.IP6, g.MAC))},
		{"NA of another guest's link-local", Both, false, s.packet(g.Link, everyNode, advertise(o.Link, g.MAC))},
		{"NA of the router's address", Both, false, s.packet(g.Link, everyNode, advertise(r.IP6, g.MAC))},
		{"NA of the router's link-local", Both, false, s.packet(g.Link, everyNode, advertise(r.Link, g.MAC))},
		{"NA of its own with another's hardware address", Bridged, false, s.packet(g.Link, everyNode, advertise(g.IP6, o.MAC))},
		{"NA from another guest's address", Both, false, s.packet(o.IP6, everyNode, advertise(o.IP6, g.MAC))},
		{"NA to the router alone", Bridged, false, s.packet(g.Link, r.Link, advertise(o.IP6, g.MAC))},
		{"NA behind hop-by-hop options", Both, false, s.extended(g.Link, everyNode, advertise(r.IP6, g.MAC), hopByHop)},
		{"NA behind destination options", Both, false, s.extended(g.Link, everyNode, advertise(r.IP6, g.MAC), destination)},
		{"NA behind many options", Both, false, s.extended(g.Link, everyNode, advertise(r.IP6, g.MAC), hopByHop, destination, long, destination)},
		{"NA in an only fragment", Both, false, s.extended(g.Link, everyNode, advertise(r.IP6, g.MAC), fragment(0, false))},
		{"NA in a first fragment", Both, false, s.extended(g.Link, everyNode, advertise(r.IP6, g.MAC), fragment(0, true))},
		{"NA in a second fragment", Both, false, s.hidden(g.Link, everyNode, advertise(r.IP6, g.MAC))},
		{"RS from another guest's link-local", Bridged, false, s.packet(o.Link, everyRouter, discovery(133, slices.Concat(make([]byte, 4), source(g.MAC))...))},
		{"RS from another guest's", Both, false, s.packet(o.IP6, everyRouter, discovery(133, slices.Concat(make([]byte, 4), source(g.MAC))...))},
		{"RS with another's hardware address", Bridged, false, s.packet(g.Link, everyRouter, discovery(133, slices.Concat(make([]byte, 4), source(o.MAC))...))},
		{"MLD report from another guest's link-local", Bridged, false, s.extended(o.Link, addr("ff02::16"), report, routerAlert)},
		{"MLD report from another guest's", Both, false, s.extended(o.IP6, addr("ff02::16"), report, routerAlert)},
		{"MLD query from the router's link-local", Bridged, false, s.extended(r.Link, everyNode, query, routerAlert)},
	}
}

// routers are the words of a router that the guest is not.
func (s Scene) routers() (all []row) {
	g, r := s.Guest, s.Router
	lifetime := []byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	prefix := slices.Concat([]byte{3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0}, addr("2001:db8:bad::").AsSlice())
	ra := discovery(134, slices.Concat(lifetime, source(g.MAC), prefix)...)
	for _, a := range []struct {
		name string
		from netip.Addr
	}{{"", g.Link}, {" from the router's link-local", r.Link}} {
		all = append(all,
			row{"RA" + a.name, Both, false, s.packet(a.from, everyNode, ra)},
			row{"RA to the router alone" + a.name, Both, false, s.packet(a.from, r.Link, ra)},
			row{"RA behind hop-by-hop options" + a.name, Both, false, s.extended(a.from, everyNode, ra, hopByHop)},
			row{"RA behind destination options" + a.name, Both, false, s.extended(a.from, everyNode, ra, destination)},
			row{"RA behind many options" + a.name, Both, false, s.extended(a.from, everyNode, ra, hopByHop, destination, long, destination)},
			row{"RA in an only fragment" + a.name, Both, false, s.extended(a.from, everyNode, ra, fragment(0, false))},
			row{"RA in a first fragment" + a.name, Both, false, s.extended(a.from, everyNode, ra, fragment(0, true))},
			row{"RA in a first fragment behind options" + a.name, Both, false, s.extended(a.from, everyNode, ra, fragment(0, true), long)},
			row{"RA in a second fragment" + a.name, Both, false, s.hidden(a.from, everyNode, ra)},
		)
	}
	redirect := discovery(137, slices.Concat(make([]byte, 4), g.Link.AsSlice(), addr("2001:db8:bad::1").AsSlice(), target(g.MAC))...)
	return append(all,
		row{"redirect from the router's link-local", Both, false, s.packet(r.Link, s.Other.IP6, redirect)},
		row{"redirect from its own link-local", Both, false, s.packet(g.Link, s.Other.Link, redirect)},
	)
}

// servers are answers of a DHCP server.
func (s Scene) servers() []row {
	g, o, all4 := s.Guest, s.Other, addr("255.255.255.255")
	offer, reply := udp(67, 68, bootp(2, o)...), udp(547, 546, 7, 0, 0, 1)
	return []row{
		{"DHCP offer to all", Bridged, false, s.packet(g.IP4, all4, offer)},
		{"DHCP offer to all from the router's", Both, false, s.packet(s.Router.IP4, all4, offer)},
		{"DHCP offer to all from 0.0.0.0", Bridged, false, s.packet(netip.IPv4Unspecified(), all4, offer)},
		{"DHCP offer to one", Bridged, false, s.packet(g.IP4, s.Router.IP4, offer)},
		{"DHCP offer in a first fragment", Bridged, false, s.piece(g.IP4, all4, offer, true)},
		{"DHCP offer in a later fragment", Bridged, false, s.piece(g.IP4, all4, offer, false)},
		{"DHCPv6 reply", Bridged, false, s.packet(g.Link, s.Router.Link, reply)},
		{"DHCPv6 reply from the router's link-local", Both, false, s.packet(s.Router.Link, o.IP6, reply)},
		{"DHCPv6 reply behind options", Bridged, false, s.extended(g.Link, s.Router.Link, reply, destination)},
		{"DHCPv6 reply in an only fragment", Bridged, false, s.extended(g.Link, s.Router.Link, reply, fragment(0, false))},
		{"DHCPv6 reply in a second fragment", Bridged, false, s.hidden(g.Link, s.Router.Link, reply)},
	}
}

// bootp is a message of DHCP (RFC 951), without what tests need not: 1 asks, 2
// answers.
func bootp(op byte, n Node) []byte {
	b := make([]byte, 236)
	b[0], b[1], b[2] = op, 1, 6
	binary.BigEndian.PutUint32(b[4:], 0x756d6c21)
	copy(b[28:], n.MAC)
	return append(b, 99, 130, 83, 99, 53, 1, op, 255)
}
