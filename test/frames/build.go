package frames

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	broadcast   = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	everyRouter = addr("ff02::2")
	everyNode   = addr("ff02::1")
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

type layer = gopacket.SerializableLayer

// pack puts layers into bytes, with lengths and checksums as they should be.
func pack(all ...layer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		panic(err)
	}
	return slices.Clone(b.Bytes())
}

func eth(from, to net.HardwareAddr, kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: from, DstMAC: to, EthernetType: kind}
}

// head is the same for what is put together by hand: a header alone would be packed
// as a frame of 60 bytes, its payload behind the padding.
func head(from, to net.HardwareAddr, kind layers.EthernetType) []byte {
	return slices.Concat(to, from, []byte{byte(kind >> 8), byte(kind)})
}

func ip4(from, to netip.Addr, protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Id: 7, Protocol: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
}

func ip6(from, to netip.Addr, next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: next, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
}

// An upper is what a packet carries: its bytes depend on the addresses, for the
// checksum, and hold the mark.
type upper struct {
	protocol layers.IPProtocol
	bytes    func(network gopacket.NetworkLayer, mark []byte) []byte
}

func udp(from, to uint16, payload ...byte) upper {
	return upper{layers.IPProtocolUDP, func(n gopacket.NetworkLayer, mark []byte) []byte {
		u := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
		u.SetNetworkLayerForChecksum(n)
		return pack(u, gopacket.Payload(slices.Concat(payload, mark)))
	}}
}

func tcp(to uint16) upper {
	return upper{layers.IPProtocolTCP, func(n gopacket.NetworkLayer, mark []byte) []byte {
		t := &layers.TCP{SrcPort: 4000, DstPort: layers.TCPPort(to), Seq: 1, SYN: true, Window: 1000}
		t.SetNetworkLayerForChecksum(n)
		return pack(t, gopacket.Payload(mark))
	}}
}

// icmp4 is an ICMP message with 4 bytes of its own.
func icmp4(kind, code uint8, own [4]byte, payload ...byte) upper {
	return upper{layers.IPProtocolICMPv4, func(_ gopacket.NetworkLayer, mark []byte) []byte {
		return pack(&layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(kind, code),
			Id:       binary.BigEndian.Uint16(own[:]),
			Seq:      binary.BigEndian.Uint16(own[2:]),
		}, gopacket.Payload(slices.Concat(payload, mark)))
	}}
}

// icmp6 is an ICMPv6 message: its body holds 4 bytes of its own.
func icmp6(kind uint8, body ...byte) upper {
	return upper{layers.IPProtocolICMPv6, func(n gopacket.NetworkLayer, mark []byte) []byte {
		c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
		c.SetNetworkLayerForChecksum(n)
		return pack(c, gopacket.Payload(slices.Concat(body, mark)))
	}}
}

// plain is a protocol that the kernel does not look into.
func plain(protocol layers.IPProtocol, payload ...byte) upper {
	return upper{protocol, func(_ gopacket.NetworkLayer, mark []byte) []byte { return slices.Concat(payload, mark) }}
}

// discovery is a message of neighbour discovery: 4 bytes of its own or more, and
// options. The mark goes into a last option, a nonce (RFC 3971).
func discovery(kind uint8, body ...byte) upper {
	return icmp6(kind, append(slices.Clone(body), 14, 3, 0, 0, 0, 0, 0, 0)...)
}

func source(mac net.HardwareAddr) []byte { return append([]byte{1, 1}, mac...) }
func target(mac net.HardwareAddr) []byte { return append([]byte{2, 1}, mac...) }

// solicit asks for a neighbour, advertise says that one is there.
func solicit(a netip.Addr, option []byte) upper {
	return discovery(135, slices.Concat([]byte{0, 0, 0, 0}, a.AsSlice(), option)...)
}

func advertise(a netip.Addr, mac net.HardwareAddr) upper {
	return discovery(136, slices.Concat([]byte{0x20, 0, 0, 0}, a.AsSlice(), target(mac))...)
}

// node is the group that a neighbour solicitation for the address goes to.
func node(a netip.Addr) netip.Addr {
	b, g := a.As16(), addr("ff02::1:ff00:0").As16()
	copy(g[13:], b[13:])
	return netip.AddrFrom16(g)
}

// mac is where a packet for the address goes: groups have hardware addresses of
// their own.
func (s Scene) mac(to netip.Addr) net.HardwareAddr {
	switch b := to.AsSlice(); {
	case to == addr("255.255.255.255"):
		return broadcast
	case to.Is4() && to.IsMulticast():
		return net.HardwareAddr{1, 0, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case to.IsMulticast():
		return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
	}
	return s.next()
}

// packet is the guest's frame with an IP packet.
func (s Scene) packet(from, to netip.Addr, up upper) func([]byte) []byte {
	return func(mark []byte) []byte { return pack(s.eth(to), gopacket.Payload(bare(from, to, up, mark))) }
}

func (s Scene) eth(to netip.Addr) *layers.Ethernet {
	if to.Is4() {
		return eth(s.Guest.MAC, s.mac(to), layers.EthernetTypeIPv4)
	}
	return eth(s.Guest.MAC, s.mac(to), layers.EthernetTypeIPv6)
}

// bare is a packet without Ethernet.
func bare(from, to netip.Addr, up upper, mark []byte) []byte {
	if to.Is4() {
		h := ip4(from, to, up.protocol)
		return pack(h, gopacket.Payload(up.bytes(h, mark)))
	}
	h := ip6(from, to, up.protocol)
	return pack(h, gopacket.Payload(up.bytes(h, mark)))
}

// piece is a fragment of an IPv4 packet; the mark stands in for the payload of a
// later one.
func (s Scene) piece(from, to netip.Addr, up upper, first bool) func([]byte) []byte {
	return func(mark []byte) []byte {
		h := ip4(from, to, up.protocol)
		if first {
			h.Flags = layers.IPv4MoreFragments
			return pack(s.eth(to), h, gopacket.Payload(up.bytes(h, mark)))
		}
		h.FragOffset = 100
		return pack(s.eth(to), h, gopacket.Payload(mark))
	}
}
