package frames

import (
	"net"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// onBridge are words of the guest's own addresses that are false all the same where
// all hear them: those of routers, servers and switches, and such as say one thing
// where a filter looks and another where the receiver does.
func (s Scene) onBridge() (all []row) {
	g, o, r := s.Guest, s.Other, s.Router
	none4, all4 := netip.IPv4Unspecified(), addr("255.255.255.255")
	none6 := netip.IPv6Unspecified()
	body := func(a netip.Addr) []byte { return append([]byte{0x20, 0, 0, 0}, a.AsSlice()...) }
	add := func(name string, bytes func([]byte) []byte) { all = append(all, row{name, Bridged, false, bytes}) }

	add("DHCP answer from a client's port", s.packet(g.IP4, all4, udp(68, 68, bootp(2, o)...)))
	add("DHCP answer from any port to one", s.packet(g.IP4, o.IP4, udp(4000, 68, bootp(2, o)...)))
	add("DHCP request for another's hardware address", s.packet(none4, all4, udp(68, 67, bootp(1, o)...)))
	add("DHCP renewal for another's hardware address", s.packet(g.IP4, r.IP4, udp(68, 67, bootp(1, o)...)))
	add("UDP from 0.0.0.0 to all", s.packet(none4, all4, udp(4000, 9)))
	add("DHCP request from 0.0.0.0 in a first fragment", s.piece(none4, all4, udp(68, 67, bootp(1, g)...), true))
	add("DHCPv6 answer from a client's port", s.packet(g.Link, o.Link, udp(546, 546, 7, 0, 0, 1)))
	add("ICMP redirect from its own address", s.packet(g.IP4, o.IP4, icmp4(5, 1, g.IP4.As4(), bare(o.IP4, r.IP4, udp(4000, 9), nil)...)))
	add("ICMP router advertisement", s.packet(g.IP4, addr("224.0.0.1"), icmp4(9, 0, [4]byte{1, 2, 7, 8}, append(g.IP4.AsSlice(), 0x7f, 255, 255, 255)...)))
	add("IGMP query", s.packet(g.IP4, addr("224.0.0.1"), plain(layers.IPProtocolIGMP, 0x11, 100, 0, 0, 0, 0, 0, 0)))
	add("multicast router advertisement", s.packet(g.IP4, addr("224.0.0.106"), plain(layers.IPProtocolIGMP, 0x30, 20, 0, 0, 0, 125, 0, 2)))
	query := icmp6(130, slices.Concat([]byte{0, 100, 0, 0}, none6.AsSlice(), []byte{2, 125, 0, 0})...)
	add("MLD query from its own link-local", s.extended(g.Link, everyNode, query, routerAlert))

	add("NA with a second, false hardware address", s.packet(g.Link, everyNode, discovery(136, slices.Concat(body(g.IP6), target(g.MAC), target(o.MAC))...)))
	add("NA with a false hardware address behind a nonce", s.packet(g.Link, everyNode, discovery(136, slices.Concat(body(g.IP6), []byte{14, 1, 0, 0, 0, 0, 0, 0}, target(o.MAC))...)))
	add("NS with a false hardware address behind a nonce", s.packet(g.Link, node(r.IP6), discovery(135, slices.Concat(make([]byte, 4), r.IP6.AsSlice(), []byte{14, 1, 0, 0, 0, 0, 0, 0}, source(o.MAC))...)))
	add("NS with a false hardware address behind its own", s.packet(g.Link, node(r.IP6), discovery(135, slices.Concat(make([]byte, 4), r.IP6.AsSlice(), source(g.MAC), source(o.MAC))...)))
	add("DAD with another's hardware address", s.packet(none6, node(g.IP6), solicit(g.IP6, source(o.MAC))))
	add("DAD of another's address behind options", s.extended(none6, node(o.IP6), solicit(o.IP6, nil), hopByHop))
	add("RS with another's hardware address behind its own", s.packet(g.Link, everyRouter, discovery(133, slices.Concat(make([]byte, 4), source(g.MAC), source(o.MAC))...)))
	add("NA of another's from no address", s.packet(none6, everyNode, advertise(o.IP6, g.MAC)))
	add("NA of its own behind hop-by-hop options", s.extended(g.Link, everyNode, advertise(g.IP6, g.MAC), hopByHop))
	add("RA within a fragment in a fragment", s.extended(g.Link, everyNode, discovery(134, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0), fragment(0, true), fragment(0, true)))
	add("UDP from no address", s.packet(none6, everyNode, udp(4000, 9)))
	add("echo from no address", s.packet(none6, everyNode, icmp6(128, 0, 0, 0, 0)))
	add("inverse neighbour discovery", s.packet(g.Link, everyNode, icmp6(142, 0, 0, 0, 0)))

	add("ARP reply of its own address for another's hardware address, to all", s.arp(2, o.MAC, g.IP4, g.IP4, broadcast))
	add("ARP request of no Ethernet", func(mark []byte) []byte {
		b := arpBody(1, g.MAC, g.IP4, r.IP4)
		b[1] = 6 // IEEE 802
		return slices.Concat(head(g.MAC, broadcast, layers.EthernetTypeARP), b, mark)
	})
	add("inverse ARP", s.arp(8, g.MAC, g.IP4, r.IP4, broadcast))
	for _, to := range []byte{0, 2, 3, 0x0e, 0x0f} {
		dst := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, to}
		add("its own IPv4 to "+dst.String(), func(mark []byte) []byte {
			return pack(eth(g.MAC, dst, layers.EthernetTypeIPv4), gopacket.Payload(bare(g.IP4, r.IP4, udp(4000, 9), mark)))
		})
	}
	return all
}
