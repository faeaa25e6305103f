package frames

import (
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// sources4 are IPv4 packets from addresses that are not the guest's.
func (s Scene) sources4() (all []row) {
	to, other := s.Router.IP4, s.Other.IP4
	discard := udp(4000, 9)
	for _, a := range []struct {
		name string
		from netip.Addr
	}{
		{"another guest's", other},
		{"the router's", s.Router.IP4},
		{"the host's", s.Host.IP4},
		{"nobody's next to the guest's", s.Guest.IP4.Next()},
		{"the Internet's", addr("198.51.100.7")},
		{"127.0.0.1", addr("127.0.0.1")},
		{"127.255.255.254", addr("127.255.255.254")},
		{"169.254.1.1", addr("169.254.1.1")},
		{"0.0.0.0", addr("0.0.0.0")},
		{"0.0.0.1", addr("0.0.0.1")},
		{"255.255.255.255", addr("255.255.255.255")},
		{"224.0.0.1", addr("224.0.0.1")},
		{"240.0.0.1", addr("240.0.0.1")},
	} {
		all = append(all, row{"IPv4 from " + a.name, Both, false, s.packet(a.from, to, discard)})
	}
	return append(all,
		row{"IPv4 TCP from another guest's", Both, false, s.packet(other, to, tcp(22))},
		row{"IPv4 echo from another guest's", Both, false, s.packet(other, to, icmp4(8, 0, [4]byte{}))},
		row{"IPv4 redirect from the router's", Both, false, s.packet(s.Router.IP4, other, icmp4(5, 1, s.Guest.IP4.As4(), bare(other, to, discard, nil)...))},
		row{"IPv4 GRE from another guest's", Both, false, s.packet(other, to, plain(layers.IPProtocolGRE, 0, 0, 0, 0))},
		row{"IPv4 to a group from another guest's", Both, false, s.packet(other, addr("224.0.0.251"), udp(5353, 5353))},
		row{"IPv4 to a group from 0.0.0.0", Bridged, false, s.packet(addr("0.0.0.0"), addr("224.0.0.251"), udp(5353, 5353))},
		row{"IPv4 to all from another guest's", Both, false, s.packet(other, addr("255.255.255.255"), discard)},
		row{"IPv4 to another guest from the router's", Both, false, s.packet(s.Router.IP4, other, discard)},
		row{"IPv4 first fragment from another guest's", Both, false, s.piece(other, to, discard, true)},
		row{"IPv4 later fragment from another guest's", Both, false, s.piece(other, to, discard, false)},
		row{"IPv4 with an option from another guest's", Both, false, s.options(other, to, 7, 7, 4, 0, 0, 0, 0, 0)},
		row{"IGMP from another guest's", Both, false, s.packet(other, addr("224.0.0.22"), plain(layers.IPProtocolIGMP, 0x16, 0, 0, 0, 224, 0, 0, 251))},
	)
}

// options is the guest's frame with an IPv4 packet that has a padded option.
func (s Scene) options(from, to netip.Addr, option ...byte) func([]byte) []byte {
	return func(mark []byte) []byte {
		h := ip4(from, to, layers.IPProtocolUDP)
		h.Options = []layers.IPv4Option{{OptionType: option[0], OptionLength: option[1], OptionData: option[2:option[1]]}}
		return pack(s.eth(to), h, gopacket.Payload(udp(4000, 9).bytes(h, mark)))
	}
}

// sources6 are the same of IPv6, behind extension headers too.
func (s Scene) sources6() (all []row) {
	to, other := s.Router.IP6, s.Other.IP6
	discard := udp(4000, 9)
	four := s.Router.IP4.As4()
	mapped := netip.AddrFrom16(addr("::ffff:0:0").As16()).As16()
	copy(mapped[12:], four[:])
	compatible := [16]byte{12: four[0], four[1], four[2], four[3]}
	six := [16]byte{0x20, 0x02, four[0], four[1], four[2], four[3], 15: 1}
	for _, a := range []struct {
		name  string
		kinds Kind
		from  netip.Addr
	}{
		{"another guest's", Both, other},
		{"the router's", Both, s.Router.IP6},
		{"the host's ::1", Both, s.Host.IP6},
		{"the next /64", Both, next64(s.Prefix)},
		{"the Internet's", Both, addr("2001:db8:bad::1")},
		{"::1", Both, addr("::1")},
		{"::", Both, addr("::")},
		{"ff02::1", Both, everyNode},
		{"fd00::1", Both, addr("fd00::1")},
		{"the router's IPv4, mapped", Both, netip.AddrFrom16(mapped)},
		{"the router's IPv4, compatible", Both, netip.AddrFrom16(compatible)},
		{"6to4", Both, netip.AddrFrom16(six)},
		{"another guest's link-local", Both, s.Other.Link},
		{"the router's link-local", Both, s.Router.Link},
		{"the host's link-local", Both, s.Host.Link},
		{"fe80:1::1", Both, addr("fe80:1::1")},
		{"fec0::1", Both, addr("fec0::1")},
	} {
		all = append(all, row{"IPv6 from " + a.name, a.kinds, false, s.packet(a.from, to, discard)})
	}
	for _, x := range []struct {
		name string
		all  []extension
	}{
		{"hop-by-hop options", []extension{hopByHop}},
		{"destination options", []extension{destination}},
		{"many options", []extension{hopByHop, destination, long, destination}},
		{"a first fragment's header", []extension{fragment(0, true)}},
		{"a later fragment's header", []extension{fragment(100, false)}},
		{"an only fragment's header", []extension{fragment(0, false)}},
		{"options in a fragment", []extension{hopByHop, fragment(0, true), destination}},
	} {
		all = append(all, row{"IPv6 from another guest's behind " + x.name, Both, false, s.extended(other, to, discard, x.all...)})
	}
	return append(all,
		row{"IPv6 TCP from another guest's", Both, false, s.packet(other, to, tcp(22))},
		row{"IPv6 echo from another guest's", Both, false, s.packet(other, to, icmp6(128, 0, 0, 0, 0))},
		row{"IPv6 to a group from another guest's", Both, false, s.packet(other, everyNode, icmp6(128, 0, 0, 0, 0))},
		row{"IPv6 without a next header from another guest's", Both, false, s.packet(other, to, plain(layers.IPProtocolNoNextHeader))},
	)
}

func next64(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	b[7]++
	b[15] = 2
	return netip.AddrFrom16(b)
}

// routing are packets of the guest's own that would be led on by the host, or tell it
// what way others' packets take.
func (s Scene) routing() []row {
	lead := append([]byte{131, 7, 4}, s.Router.IP4.AsSlice()...)
	strict := append([]byte{137, 7, 4}, s.Router.IP4.AsSlice()...)
	echo4 := bare(s.Host.IP4, s.Other.IP4, icmp4(0, 0, [4]byte{}), nil)
	small := icmp4(3, 4, [4]byte{0, 0, 2, 88}, echo4...)
	tooBig := icmp6(2, slices.Concat([]byte{0, 0, 5, 0}, bare(s.Host.IP6, s.Other.IP6, icmp6(129, 0, 0, 0, 0), nil))...)
	return []row{
		{"IPv4 fragmentation needed, to the host", Routed, false, s.packet(s.Guest.IP4, s.Host.IP4, small)},
		{"IPv6 too big, to the host", Routed, false, s.packet(s.Guest.IP6, s.Host.IP6, tooBig)},
		{"IPv6 too big, to the host's link-local", Routed, false, s.packet(s.Guest.Link, s.Host.Link, tooBig)},
		{"IPv6 too big, to the host behind options", Routed, false, s.extended(s.Guest.IP6, s.Host.IP6, tooBig, hopByHop, destination)},
		{"IPv6 too big, to every node", Routed, false, s.packet(s.Guest.IP6, everyNode, tooBig)},
		{"IPv6 too big, to every router", Routed, false, s.packet(s.Guest.Link, everyRouter, tooBig)},
		{"IPv6 too big, to any router of the prefix", Routed, false, s.packet(s.Guest.IP6, s.Prefix.Masked().Addr(), tooBig)},
		{"IPv4 loose source route", Routed, false, s.options(s.Guest.IP4, s.Host.IP4, lead...)},
		{"IPv4 strict source route", Routed, false, s.options(s.Guest.IP4, s.Host.IP4, strict...)},
		{"IPv6 routing header 0 by the host", Routed, false, s.extended(s.Guest.IP6, s.Host.IP6, udp(4000, 9), routing(0, s.Router.IP6))},
		{"IPv6 routing header 0 by the router", Routed, false, s.extended(s.Guest.IP6, s.Router.IP6, udp(4000, 9), routing(0, s.Other.IP6))},
		{"IPv6 routing header 2", Routed, false, s.extended(s.Guest.IP6, s.Router.IP6, udp(4000, 9), routing(2, s.Other.IP6))},
		{"IPv6 routing header 0 behind one that is done", Routed, false, s.extended(s.Guest.IP6, s.Router.IP6, udp(4000, 9), done(routing(0, s.Other.IP6)), routing(0, s.Other.IP6))},
		{"IPv6 routing header 0 behind options", Routed, false, s.extended(s.Guest.IP6, s.Router.IP6, udp(4000, 9), hopByHop, routing(0, s.Other.IP6))},
		{"IPv4 to somebody's link-local address", Routed, false, s.packet(s.Guest.IP4, addr("169.254.169.254"), tcp(80))},
		{"IPv6 to somebody's link-local address", Routed, false, s.packet(s.Guest.IP6, s.Router.Link, tcp(80))},
	}
}
