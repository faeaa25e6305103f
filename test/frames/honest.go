package frames

import (
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// passed are honest packets that reach the router in either kind.
func (s Scene) passed() []row {
	g, r := s.Guest, s.Router
	discard := udp(4000, 9)
	privacy := s.Prefix.Addr().As16()
	copy(privacy[8:], []byte{0x5c, 1, 2, 3, 4, 5, 6, 7})
	return []row{
		{"IPv4 UDP", Both, false, s.packet(g.IP4, r.IP4, discard)},
		{"IPv4 TCP", Both, false, s.packet(g.IP4, r.IP4, tcp(22))},
		{"IPv4 echo", Both, false, s.packet(g.IP4, r.IP4, icmp4(8, 0, [4]byte{0, 1, 0, 1}))},
		{"IPv4 error", Both, false, s.packet(g.IP4, r.IP4, icmp4(3, 3, [4]byte{}, bare(r.IP4, g.IP4, discard, nil)...))},
		{"IPv4 first fragment", Both, false, s.piece(g.IP4, r.IP4, discard, true)},
		{"IPv4 later fragment", Both, false, s.piece(g.IP4, r.IP4, discard, false)},
		{"IPv4 GRE", Both, false, s.packet(g.IP4, r.IP4, plain(layers.IPProtocolGRE, 0, 0, 0x88, 0xb5))},
		{"IPv4 ESP", Both, false, s.packet(g.IP4, r.IP4, plain(layers.IPProtocolESP, 0, 0, 0, 1, 0, 0, 0, 1))},
		{"IPv4 UDP-Lite", Both, false, s.packet(g.IP4, r.IP4, plain(layers.IPProtocolUDPLite, 0, 9, 0, 9, 0, 8, 0, 0))},
		{"IPv4 with an option", Both, false, s.options(g.IP4, r.IP4, 148, 4, 0, 0)},
		{"IPv4 of 1500 bytes", Both, false, s.packet(g.IP4, r.IP4, udp(4000, 9, make([]byte, 1500-20-8-16)...))},
		{"IPv4 of 9000 bytes", Both, false, s.packet(g.IP4, r.IP4, udp(4000, 9, make([]byte, 9000-20-8-16)...))},
		{"IPv6 UDP", Both, false, s.packet(g.IP6, r.IP6, discard)},
		{"IPv6 UDP from a privacy address", Routed, false, s.packet(netip.AddrFrom16(privacy), r.IP6, discard)},
		{"IPv6 TCP", Both, false, s.packet(g.IP6, r.IP6, tcp(22))},
		{"IPv6 echo", Both, false, s.packet(g.IP6, r.IP6, icmp6(128, 0, 1, 0, 1))},
		{"IPv6 too big", Both, false, s.packet(g.IP6, r.IP6, icmp6(2, slices.Concat([]byte{0, 0, 5, 0}, bare(r.IP6, g.IP6, discard, nil))...))},
		{"IPv6 behind hop-by-hop options", Both, false, s.extended(g.IP6, r.IP6, discard, hopByHop)},
		{"IPv6 behind destination options", Both, false, s.extended(g.IP6, r.IP6, discard, destination)},
		{"IPv6 behind many options", Both, false, s.extended(g.IP6, r.IP6, discard, hopByHop, destination)},
		{"IPv6 first fragment", Both, false, s.extended(g.IP6, r.IP6, discard, fragment(0, true))},
		{"IPv6 later fragment", Both, false, s.extended(g.IP6, r.IP6, discard, fragment(100, false))},
		{"IPv6 ESP", Both, false, s.packet(g.IP6, r.IP6, plain(layers.IPProtocolESP, 0, 0, 0, 1, 0, 0, 0, 1))},
		{"IPv6 of 9000 bytes", Both, false, s.packet(g.IP6, r.IP6, udp(4000, 9, make([]byte, 9000-40-8-16)...))},
	}
}

// local are honest frames for the link alone: how a guest finds its neighbours and
// gets its addresses.
func (s Scene) local() []row {
	g, r := s.Guest, s.Router
	none4, none6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	report := icmp6(143, slices.Concat([]byte{0, 0, 0, 1, 4, 0, 0, 0}, node(g.IP6).AsSlice())...)
	return []row{
		{"ARP request", Both, true, s.arp(1, g.MAC, g.IP4, r.IP4, broadcast)},
		{"ARP reply", Both, true, s.arp(2, g.MAC, g.IP4, r.IP4, s.next())},
		{"ARP probe", Both, true, s.arp(1, g.MAC, none4, g.IP4, broadcast)},
		{"ARP announcement", Both, true, s.arp(1, g.MAC, g.IP4, g.IP4, broadcast)},
		{"DHCP discover", Both, true, s.packet(none4, addr("255.255.255.255"), udp(68, 67, bootp(1, g)...))},
		{"DHCP renewal", Both, false, s.packet(g.IP4, r.IP4, udp(68, 67, bootp(1, g)...))},
		{"IGMP report", Both, true, s.packet(g.IP4, addr("224.0.0.22"), plain(layers.IPProtocolIGMP, 0x22, 0, 0, 0, 0, 0, 0, 0))},
		{"IPv4 to a group", Both, true, s.packet(g.IP4, addr("224.0.0.251"), udp(5353, 5353))},
		{"DAD", Both, true, s.packet(none6, node(g.IP6), solicit(g.IP6, nil))},
		{"DAD of its link-local", Both, true, s.packet(none6, node(g.Link), solicit(g.Link, nil))},
		{"NS", Both, true, s.packet(g.IP6, node(r.IP6), solicit(r.IP6, source(g.MAC)))},
		{"NS from its link-local", Both, true, s.packet(g.Link, node(r.Link), solicit(r.Link, source(g.MAC)))},
		{"NA", Both, true, s.packet(g.IP6, r.Link, advertise(g.IP6, g.MAC))},
		{"NA of its link-local", Both, true, s.packet(g.Link, everyNode, advertise(g.Link, g.MAC))},
		{"RS", Both, true, s.packet(g.Link, everyRouter, discovery(133, slices.Concat(make([]byte, 4), source(g.MAC))...))},
		{"RS before it has an address", Both, true, s.packet(none6, everyRouter, discovery(133, make([]byte, 4)...))},
		{"MLD report", Both, true, s.extended(g.Link, addr("ff02::16"), report, routerAlert)},
		{"MLD report before it has an address", Both, true, s.extended(none6, addr("ff02::16"), report, routerAlert)},
		{"DHCPv6 solicit", Both, true, s.packet(g.Link, addr("ff02::1:2"), udp(546, 547, 1, 0, 0, 1, 0, 1, 0, 16))},
		{"IPv6 to a group", Both, true, s.packet(g.Link, addr("ff02::fb"), udp(5353, 5353))},
		{"padding behind a packet", Both, false, func(mark []byte) []byte {
			return append(pack(s.eth(r.IP4), gopacket.Payload(bare(g.IP4, r.IP4, udp(4000, 9), mark))), make([]byte, 18)...)
		}},
	}
}
