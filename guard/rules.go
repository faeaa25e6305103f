package guard

import (
	"slices"

	"github.com/google/nftables/expr"
)

// The sets, all hashed.
const (
	guests = "guests" // TAP; counts what is dropped of it
	speaks = "speaks" // TAP . hardware address . Ethernet type
	owns4  = "ip4"    // TAP . address
	owns6  = "ip6"    // TAP . address
)

const hook = "prerouting" // the only chain that packets enter by themselves

// Ethernet types.
const (
	typeIP4 = 0x0800
	typeARP = 0x0806
	typeIP6 = 0x86dd
)

// Protocols.
const (
	icmp   = 1
	igmp   = 2
	udp    = 17
	icmp6  = 58
	hdrLL  = expr.PayloadBaseLLHeader
	hdrNet = expr.PayloadBaseNetworkHeader
	hdrTop = expr.PayloadBaseTransportHeader
)

// A chain is tried from the top; its last rule takes what the others left.
type chain struct {
	name  string
	rules []match
}

const refused = "refuse"

// chains are the whole filter. A packet goes down one way, at each step of which
// all that came before is known to be the guest's own; so an accept never stands
// before a check, which is how the filters of others were passed by (CVE-2016-5362,
// CVE-2025-52890).
func chains() []chain {
	refuse := goTo(refused)
	return []chain{
		{hook, []match{
			join(group(Group), goTo("guest")),
		}},
		// The type as it stands in the frame: one with a VLAN tag, or LLC's length, is none
		// of the three. A switch's own addresses (01:80:c2:00:00:0X) belong to STP, LACP, LLDP
		// and 802.1X; only with the port's group_fwd_mask do frames to them come by here.
		{"guest", []match{
			join(ethernet(0, 6), masked(0xff, 0xff, 0xff, 0xff, 0xff, 0xf0), is(0x01, 0x80, 0xc2, 0, 0, 0), refuse),
			join(ethernet(12, 2), is(0x08, 0x00), ownMAC(hdrLL, 6), goTo("ip4")),
			join(ethernet(12, 2), is(0x86, 0xdd), ownMAC(hdrLL, 6), goTo("ip6")),
			join(ethernet(12, 2), is(0x08, 0x06), ownMAC(hdrLL, 6), goTo("arp")),
			refuse,
		}},
		// Request and reply, for IPv4 on Ethernet; and the probe of RFC 5227, which is
		// from no address, for an own one: for another's it would be taken for a conflict.
		{"arp", []match{
			join(arp(1), ownMAC(hdrNet, 8), own4(14), accept),
			join(arp(2), ownMAC(hdrNet, 8), own4(14), accept),
			join(arp(1), ownMAC(hdrNet, 8), network(14, 4), is(0, 0, 0, 0), own4(24), accept),
			refuse,
		}},
		// From no address comes only a DHCP client's question, whole, to all.
		{"ip4", []match{
			join(own4(12), goTo("ip4-own")),
			join(network(12, 8), is(0, 0, 0, 0, 255, 255, 255, 255), network(6, 2), masked(0x3f, 0xff), is(0, 0),
				protocol(is(udp)), transport(0, 4), is(0, 68, 0, 67), dhcp(), accept),
			refuse,
		}},
		// A later fragment is worth nothing without the first, which shows its transport
		// header or is refused; to all, where a DHCP server's answer goes, nobody needs one.
		// No redirect (5) nor router (9), no IGMP but of a member.
		{"ip4-own", []match{
			join(later4(), network(16, 4), isNot(255, 255, 255, 255), accept),
			join(later4(), refuse),
			join(protocol(is(udp)), goTo("udp4")),
			join(protocol(is(icmp)), transport(0, 1), isNot(5), isNot(9), accept),
			join(protocol(is(igmp)), transport(0, 1), is(0x12), accept),
			join(protocol(is(igmp)), transport(0, 1), between(0x16, 0x17), accept),
			join(protocol(is(igmp)), transport(0, 1), is(0x22), accept),
			join(protocol(slices.Concat(isNot(udp), isNot(icmp), isNot(igmp))), accept),
			refuse,
		}},
		// A client takes what is sent to its port (68) for a server's answer, whatever port
		// it came from. What is asked of a server is for the guest's hardware address, or it
		// could use up all addresses there are.
		{"udp4", []match{
			join(transport(0, 2), is(0, 67), refuse),
			join(transport(2, 2), is(0, 68), refuse),
			join(transport(2, 2), is(0, 67), dhcp(), accept),
			join(transport(2, 2), isNot(0, 67), accept),
			refuse,
		}},
		{"ip6", []match{
			join(own6(8), goTo("ip6-own")),
			join(network(8, 16), is(make([]byte, 16)...), goTo("ip6-none")),
			refuse,
		}},
		// From no address: duplicate address detection (RFC 4862) for an own address, with
		// no option or a nonce (RFC 7527); the question for routers; and joining groups.
		{"ip6-none", []match{
			join(later6(), refuse),
			join(direct(solicitation), toAll6(), own6(48), goTo("ends-64")),
			join(direct(routerSolicitation), toAll6(), goTo("ends-48")),
			join(protocol(is(icmp6)), toAll6(), transport(0, 1), between(131, 132), accept),
			join(protocol(is(icmp6)), toAll6(), transport(0, 1), is(143), accept),
			refuse,
		}},
		// As with IPv4. The offset is that of the first fragment header there is; of a later
		// fragment in which more headers are said to follow the kernel tells no protocol.
		{"ip6-own", []match{
			join(later6(), protocol(isNot(0)), accept),
			join(later6(), refuse),
			join(protocol(is(udp)), goTo("udp6")),
			join(protocol(is(icmp6)), goTo("icmp6")),
			join(protocol(slices.Concat(isNot(udp), isNot(icmp6))), accept),
			refuse,
		}},
		// Neighbour discovery only straight behind the IPv6 header and with the one option
		// that is of use, so that nothing hides its fields or comes behind them. Of the rest,
		// which the kernel finds behind any header, what hosts say: errors, echo, membership.
		// So no router advertisement (134), redirect (137) or membership query (130).
		{"icmp6", []match{
			join(direct(solicitation), payload(24), accept),
			join(direct(solicitation), network(64, 2), is(1, 1), ownMAC(hdrNet, 66), goTo("ends-72")),
			join(direct(advertisement), own6(48), payload(24), accept),
			join(direct(advertisement), own6(48), network(64, 2), is(2, 1), ownMAC(hdrNet, 66), goTo("ends-72")),
			join(direct(routerSolicitation), payload(8), accept),
			join(direct(routerSolicitation), network(48, 2), is(1, 1), ownMAC(hdrNet, 50), goTo("ends-56")),
			join(transport(0, 1), between(1, 4), accept),
			join(transport(0, 1), between(128, 129), accept),
			join(transport(0, 1), between(131, 132), accept),
			join(transport(0, 1), is(143), accept),
			join(transport(0, 1), between(160, 161), accept),
			refuse,
		}},
		{"ends-48", ends(48)},
		{"ends-56", ends(56)},
		{"ends-64", ends(64)},
		{"ends-72", ends(72)},
		{"udp6", []match{
			join(transport(0, 2), is(0x02, 0x23), refuse), // 547, a server's
			join(transport(2, 2), isNot(0x02, 0x22), accept),
			refuse,
		}},
		// The counter is the element's. A guest without one is dropped all the same.
		{refused, []match{
			join(interfaceName(), in(guests)),
			drop,
		}},
	}
}

const (
	routerSolicitation = 133
	solicitation       = 135
	advertisement      = 136
)

// later4 and later6 are of a fragment but the first.
func later4() match { return join(network(6, 2), masked(0x1f, 0xff), isNot(0, 0)) }

func later6() match {
	return join(match{&expr.Exthdr{DestRegister: first, Type: 44, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}},
		masked(0xff, 0xf8), isNot(0, 0))
}

func toAll6() match { return join(network(24, 2), is(0xff, 0x02)) }

// dhcp is a BOOTP request of an Ethernet client, of the guest's hardware address.
func dhcp() match { return join(transport(8, 3), is(1, 1, 6), ownMAC(hdrTop, 36)) }

// ends: the message is over at that offset, or after a nonce there of 6 to 22 bytes
// (RFC 3971, 7527). What else comes behind could say again, and otherwise, what was
// checked before.
func ends(at uint32) []match {
	rules := []match{join(payload(byte(at-40)), accept)}
	for n := byte(1); n <= 3; n++ {
		rules = append(rules, join(payload(byte(at-40)+8*n), network(at, 2), is(14, n), accept))
	}
	return append(rules, goTo(refused))
}

func arp(operation byte) match { return join(network(0, 8), is(0, 1, 8, 0, 6, 4, 0, operation)) }

// direct is ICMPv6 without any header between.
func direct(kind byte) match {
	return join(network(6, 1), is(icmp6), network(40, 2), is(kind, 0))
}

// payload is the length of what follows the IPv6 header.
func payload(n byte) match { return join(network(4, 2), is(0, n)) }
