package trial

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"uml/settings"
)

// A pinger asks one address. Its socket is of the network namespace in which it was made.
type pinger struct {
	addr netip.Addr
	conn *icmp.PacketConn
}

// asked are the addresses of which one has to answer: the first IPv4 address, else of
// IPv6 what the guest may have been told or make for itself.
func asked(m *settings.Machine) []netip.Addr {
	if all := m.Addresses4(); len(all) > 0 {
		return all[:1]
	}
	if len(m.IP6) == 0 {
		return nil
	}
	own := m.Autoconfigured(netip.MustParsePrefix("fe80::/64")).WithZone(m.TAP)
	return append(m.Addresses6(0), own)
}

func newPinger(a netip.Addr) (*pinger, error) {
	network, own := "ip4:icmp", "0.0.0.0"
	if a.Is6() {
		network, own = "ip6:ipv6-icmp", "::"
	}
	c, err := icmp.ListenPacket(network, own)
	return &pinger{a, c}, err
}

// ask says whether it answers within that time.
func (p *pinger) ask(within time.Duration) bool {
	kind, reply, protocol := icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), unix.IPPROTO_ICMP
	if p.addr.Is6() {
		kind, reply, protocol = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, unix.IPPROTO_ICMPV6
	}
	text, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: 1, Seq: 1, Data: []byte("uml-kernel")}}).Marshal(nil)
	if err != nil {
		return false
	}
	p.conn.SetDeadline(time.Now().Add(within))
	if _, err := p.conn.WriteTo(text, &net.IPAddr{IP: p.addr.AsSlice(), Zone: p.addr.Zone()}); err != nil {
		return false
	}
	for b := make([]byte, 1500); ; {
		n, from, err := p.conn.ReadFrom(b)
		if err != nil {
			return false
		}
		m, err := icmp.ParseMessage(protocol, b[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if ip, ok := from.(*net.IPAddr); ok && ip.IP.Equal(net.IP(p.addr.AsSlice())) {
			return true
		}
	}
}
