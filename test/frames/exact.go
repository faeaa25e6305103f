package frames

import (
	"net"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// exact is a packet that holds no more than is said: the mark lies behind it, where
// Ethernet pads short frames.
func (s Scene) exact(from, to netip.Addr, up upper) func([]byte) []byte {
	return func(mark []byte) []byte {
		return slices.Concat(pack(s.eth(to), gopacket.Payload(bare(from, to, up, nil))), mark)
	}
}

// option is one of neighbour discovery, n times 8 bytes long, that begins with a
// hardware address if it has one.
func option(kind, n byte, mac net.HardwareAddr) []byte {
	b := make([]byte, 8*int(n))
	b[0], b[1] = kind, n
	copy(b[2:], mac)
	return b
}

const nonce = 14

// exactly are false words of neighbour discovery of every length that honest ones
// have, and what differs from an honest frame in one thing alone.
func (s Scene) exactly() (all []row) {
	g, o, r := s.Guest, s.Other, s.Router
	none4, all4, none6 := netip.IPv4Unspecified(), addr("255.255.255.255"), netip.IPv6Unspecified()
	add := func(name string, bytes func([]byte) []byte) { all = append(all, row{name, Bridged, false, bytes}) }
	body := func(a netip.Addr) []byte { return append([]byte{0x20, 0, 0, 0}, a.AsSlice()...) }
	say := func(kind uint8, parts ...[]byte) upper { return icmp6(kind, slices.Concat(parts...)...) }

	add("NA of another's address without option", s.exact(g.Link, everyNode, say(136, body(o.IP6))))
	add("NA of another's address with its own hardware address", s.exact(g.Link, everyNode, say(136, body(o.IP6), target(g.MAC))))
	add("NA with an option of another kind", s.exact(g.Link, everyNode, say(136, body(g.IP6), source(o.MAC))))
	add("NS with an option of another kind", s.exact(g.Link, node(r.IP6), say(135, body(r.IP6), target(o.MAC))))
	add("NA of its own from no address", s.exact(none6, everyNode, say(136, body(g.IP6))))
	add("DAD of its own address to one", s.exact(none6, r.IP6, say(135, body(g.IP6))))
	add("DAD of its own address from another's", s.exact(o.IP6, node(g.IP6), say(135, body(g.IP6))))
	add("RS from no address to one", s.exact(none6, r.Link, say(133, make([]byte, 4))))
	add("echo from no address of 8 bytes", s.exact(none6, everyNode, say(128, make([]byte, 4))))
	add("MLD report from no address to one", s.exact(none6, r.Link, say(143, make([]byte, 4))))
	add("UDP from no address, from a port that looks like a report", s.packet(none6, everyNode, udp(0x8f00, 9)))
	add("UDP from no address, from a port that looks like an old report", s.packet(none6, everyNode, udp(0x8300, 9)))
	add("MLD report in a later fragment from no address", func(mark []byte) []byte {
		h := ip6(none6, everyNode, layers.IPProtocolIPv6Fragment)
		f := fragment(100, false).bytes
		f[0] = byte(layers.IPProtocolICMPv6)
		return pack(s.eth(everyNode), h, gopacket.Payload(slices.Concat(f, []byte{143, 0, 0, 0}, mark)))
	})
	life := []byte{64, 0, 7, 8}
	add("RA with its hardware address alone", s.exact(g.Link, everyNode, say(134, life, make([]byte, 8), source(g.MAC))))
	add("RA with an MTU and its hardware address", s.exact(g.Link, everyNode, say(134, life, make([]byte, 8), []byte{5, 1, 0, 0, 0, 0, 5, 0}, source(g.MAC))))
	add("RA with times that look like a hardware address", s.exact(g.Link, everyNode, say(134, life, source(g.MAC))))
	for n := byte(1); n <= 3; n++ {
		size := string('0' + n)
		false1, false2 := option(1, n, o.MAC), option(2, n, o.MAC)
		add("NA with a second hardware address of length "+size, s.exact(g.Link, everyNode, say(136, body(g.IP6), target(g.MAC), false2)))
		add("NS with a second hardware address of length "+size, s.exact(g.Link, node(r.IP6), say(135, body(r.IP6), source(g.MAC), false1)))
		add("DAD with a hardware address of length "+size, s.exact(none6, node(g.IP6), say(135, body(g.IP6), false1)))
		add("RS from no address with a hardware address of length "+size, s.exact(none6, everyRouter, say(133, make([]byte, 4), false1)))
		add("RS with a second hardware address of length "+size, s.exact(g.Link, everyRouter, say(133, make([]byte, 4), source(g.MAC), false1)))
		add("NA with a second hardware address behind a nonce of length "+size, s.exact(g.Link, everyNode, say(136, body(g.IP6), target(g.MAC), option(nonce, n, nil), option(2, 2, o.MAC))))
		add("DAD with a hardware address behind a nonce of length "+size, s.exact(none6, node(g.IP6), say(135, body(g.IP6), option(nonce, n, nil), option(1, 2, o.MAC))))
		add("RS with a second hardware address behind a nonce of length "+size, s.exact(g.Link, everyRouter, say(133, make([]byte, 4), source(g.MAC), option(nonce, n, nil), option(1, 2, o.MAC))))
		add("RS from no address with a hardware address behind a nonce of length "+size, s.exact(none6, everyRouter, say(133, make([]byte, 4), option(nonce, n, nil), option(1, 2, o.MAC))))
	}

	add("ARP probe with another's hardware address", s.arp(1, o.MAC, none4, g.IP4, broadcast))
	add("ARP reply from 0.0.0.0 for its own", s.arp(2, g.MAC, none4, g.IP4, broadcast))
	add("ARP request from another's address for its own", s.arp(1, g.MAC, o.IP4, g.IP4, broadcast))
	add("DHCP request from another's address", s.packet(o.IP4, all4, udp(68, 67, bootp(1, g)...)))
	add("DHCP request from 0.0.0.0 to one", s.packet(none4, r.IP4, udp(68, 67, bootp(1, g)...)))
	add("DHCP request from 0.0.0.0 from another port", s.packet(none4, all4, udp(4000, 67, bootp(1, g)...)))
	add("DHCP answer to servers from 0.0.0.0", s.packet(none4, all4, udp(68, 67, bootp(2, g)...)))
	add("DHCP answer to servers", s.packet(g.IP4, r.IP4, udp(68, 67, bootp(2, g)...)))
	add("UDP from a DHCP server's port", s.packet(g.IP4, r.IP4, udp(67, 4000)))
	add("UDP from a DHCPv6 server's port", s.packet(g.IP6, r.IP6, udp(547, 4000)))
	add("TCP from 0.0.0.0 that looks like DHCP", s.packet(none4, all4, upper{layers.IPProtocolTCP, func(_ gopacket.NetworkLayer, mark []byte) []byte {
		return slices.Concat([]byte{0, 68, 0, 67, 0, 0, 0, 0}, bootp(1, g), mark)
	}}))
	return all
}
