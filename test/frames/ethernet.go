package frames

import (
	"net"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// resolution are false words of ARP.
func (s Scene) resolution() []row {
	g, o, r := s.Guest, s.Other, s.Router
	own, others := g.MAC, o.MAC
	return []row{
		{"ARP request from another guest's address", Both, false, s.arp(1, own, o.IP4, r.IP4, broadcast)},
		{"ARP request from the router's address", Both, false, s.arp(1, own, r.IP4, o.IP4, broadcast)},
		{"ARP request from the host's address", Both, false, s.arp(1, own, s.Host.IP4, r.IP4, broadcast)},
		{"ARP request with another's hardware address", Bridged, false, s.arp(1, others, g.IP4, r.IP4, broadcast)},
		{"ARP reply with another guest's address", Both, false, s.arp(2, own, o.IP4, r.IP4, s.next())},
		{"ARP reply with the router's address", Both, false, s.arp(2, own, r.IP4, o.IP4, broadcast)},
		{"ARP reply with another's hardware address", Bridged, false, s.arp(2, others, g.IP4, r.IP4, s.next())},
		{"ARP announcement of another guest's address", Both, false, s.arp(1, own, o.IP4, o.IP4, broadcast)},
		{"ARP announcement of the router's address", Both, false, s.arp(2, own, r.IP4, r.IP4, broadcast)},
		{"ARP probe for another guest's address", Bridged, false, s.arp(1, own, netip.IPv4Unspecified(), o.IP4, broadcast)},
		{"ARP reply with 0.0.0.0", Bridged, false, s.arp(2, own, netip.IPv4Unspecified(), r.IP4, s.next())},
		{"RARP reply", Both, false, func(mark []byte) []byte {
			return slices.Concat(head(own, broadcast, 0x8035), arpBody(4, own, o.IP4, r.IP4), mark)
		}},
	}
}

// arp is the guest's frame; the mark is in its trailer.
func (s Scene) arp(op byte, mac net.HardwareAddr, from, to netip.Addr, dst net.HardwareAddr) func([]byte) []byte {
	return func(mark []byte) []byte {
		return slices.Concat(head(s.Guest.MAC, dst, layers.EthernetTypeARP), arpBody(op, mac, from, to), mark)
	}
}

func arpBody(op byte, mac net.HardwareAddr, from, to netip.Addr) []byte {
	return slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, op}, mac, from.AsSlice(), make([]byte, 6), to.AsSlice())
}

// ethernet are frames that are wrong below IP, or hide a wrong packet in another
// encapsulation: Linux takes tags of VLAN 0 off by itself (CVE-2021-27861 and its
// like), other hosts unpack LLC/SNAP.
func (s Scene) ethernet() (all []row) {
	g, o, r := s.Guest, s.Other, s.Router
	forged4 := func(mark []byte) []byte { return bare(o.IP4, r.IP4, udp(4000, 9), mark) }
	forged6 := func(mark []byte) []byte { return bare(o.IP6, r.IP6, udp(4000, 9), mark) }
	own4 := func(mark []byte) []byte { return bare(g.IP4, r.IP4, udp(4000, 9), mark) }
	own6 := func(mark []byte) []byte { return bare(g.IP6, r.IP6, udp(4000, 9), mark) }
	arp := func(mark []byte) []byte { return append(arpBody(2, g.MAC, r.IP4, o.IP4), mark...) }
	ra := func(mark []byte) []byte {
		return bare(g.Link, everyNode, discovery(134, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0), mark)
	}
	const (
		v4, v6, ar  = 0x0800, 0x86dd, 0x0806
		q, ad, qinq = 0x8100, 0x88a8, 0x9100
	)
	for _, t := range []struct {
		name string
		tags []byte
	}{
		{"VLAN 0", tag(q, 0)},
		{"VLAN 0 with a priority", tag(q, 7<<13)},
		{"VLAN 5", tag(q, 5)},
		{"802.1ad VLAN 0", tag(ad, 0)},
		{"802.1ad VLAN 5", tag(ad, 5)},
		{"VLAN 0 twice", append(tag(q, 0), tag(q, 0)...)},
		{"802.1ad VLAN 0 and VLAN 0", append(tag(ad, 0), tag(q, 0)...)},
		{"802.1ad VLAN 5 and VLAN 6", append(tag(ad, 5), tag(q, 6)...)},
		{"an old double tag", append(tag(qinq, 0), tag(q, 0)...)},
	} {
		all = append(all,
			row{"IPv4 from another guest's in " + t.name, Both, false, s.tagged(t.tags, v4, forged4)},
			row{"IPv6 from another guest's in " + t.name, Both, false, s.tagged(t.tags, v6, forged6)},
			row{"ARP of the router's in " + t.name, Both, false, s.tagged(t.tags, ar, arp)},
			row{"RA in " + t.name, Both, false, s.tagged(t.tags, v6, ra)},
			row{"its own IPv4 in " + t.name, Bridged, false, s.tagged(t.tags, v4, own4)},
			row{"its own IPv6 in " + t.name, Bridged, false, s.tagged(t.tags, v6, own6)},
		)
	}
	spanning := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}
	for _, x := range []struct {
		name string
		kind layers.EthernetType
		dst  net.HardwareAddr
	}{
		{"LACP", 0x8809, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 2}},
		{"LLDP", 0x88cc, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0x0e}},
		{"802.1X", 0x888e, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 3}},
		{"a pause", 0x8808, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 1}},
		{"MVRP", 0x88f5, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0x21}},
		{"PPPoE discovery", 0x8863, broadcast},
		{"MPLS", 0x8847, s.next()},
		{"a loopback test", 0x9000, s.next()},
		{"an experiment", 0x88b5, broadcast},
	} {
		all = append(all, row{x.name, Both, false, func(mark []byte) []byte {
			return slices.Concat(head(g.MAC, x.dst, x.kind), make([]byte, 30), mark)
		}})
	}
	from := func(mac net.HardwareAddr, up func([]byte) []byte, kind layers.EthernetType) func([]byte) []byte {
		return func(mark []byte) []byte { return pack(eth(mac, s.next(), kind), gopacket.Payload(up(mark))) }
	}
	group := net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}
	return append(all,
		row{"STP", Both, false, s.llc(spanning, []byte{0x42, 0x42, 3}, func(mark []byte) []byte { return append(make([]byte, 35), mark...) })},
		row{"Cisco's STP", Both, false, s.llc(net.HardwareAddr{1, 0, 0x0c, 0xcc, 0xcc, 0xcd}, []byte{0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b}, func(mark []byte) []byte { return append(make([]byte, 35), mark...) })},
		row{"IPv4 from another guest's in LLC/SNAP", Both, false, s.llc(s.next(), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, forged4)},
		row{"IPv6 from another guest's in LLC/SNAP", Both, false, s.llc(s.next(), []byte{0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd}, forged6)},
		row{"ARP of the router's in LLC/SNAP", Both, false, s.llc(broadcast, []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 6}, arp)},
		row{"RA in LLC/SNAP", Both, false, s.llc(s.mac(everyNode), []byte{0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd}, ra)},
		row{"IPv4 from another guest's in LLC/SNAP in VLAN 0", Both, false, func(mark []byte) []byte {
			b := s.llc(s.next(), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, forged4)(mark)
			return slices.Insert(b, 12, tag(q, 0)...)
		}},
		row{"IPv4 called IPv6", Both, false, from(g.MAC, forged4, v6)},
		row{"IPv6 called IPv4", Both, false, from(g.MAC, forged6, v4)},
		row{"IPv4 from another's hardware address", Bridged, false, from(o.MAC, own4, v4)},
		row{"IPv6 from another's hardware address", Bridged, false, from(o.MAC, own6, v6)},
		row{"IPv4 from the router's hardware address", Bridged, false, from(r.MAC, own4, v4)},
		row{"IPv4 from no hardware address", Bridged, false, from(make(net.HardwareAddr, 6), own4, v4)},
		row{"IPv4 from a group's hardware address", Bridged, false, from(group, own4, v4)},
		row{"ARP from another's hardware address", Bridged, false, func(mark []byte) []byte {
			return slices.Concat(head(o.MAC, broadcast, ar), arpBody(1, g.MAC, g.IP4, r.IP4), mark)
		}},
	)
}

// tag is a VLAN tag as it stands in a frame.
func tag(kind, control uint16) []byte {
	return []byte{byte(kind >> 8), byte(kind), byte(control >> 8), byte(control)}
}

// tagged is the guest's frame with tags before its type.
func (s Scene) tagged(tags []byte, kind layers.EthernetType, payload func([]byte) []byte) func([]byte) []byte {
	return func(mark []byte) []byte {
		return slices.Insert(pack(eth(s.Guest.MAC, s.next(), kind), gopacket.Payload(payload(mark))), 12, tags...)
	}
}

// llc is a frame of IEEE 802.3: a length in place of the type.
func (s Scene) llc(dst net.HardwareAddr, header []byte, payload func([]byte) []byte) func([]byte) []byte {
	return func(mark []byte) []byte {
		p := slices.Concat(header, payload(mark))
		return slices.Concat(dst, s.Guest.MAC, []byte{byte(len(p) >> 8), byte(len(p))}, p)
	}
}
