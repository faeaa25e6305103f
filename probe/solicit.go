package probe

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	ipv6Header    = 40
	solicitation  = 135
	advertisement = 136
	discoverySize = 24 // without options
	hopLimit      = 255
	override      = 1 << 29
	solicited     = 1 << 30
)

// A discovery is a neighbour solicitation or advertisement (RFC 4861 4.3, 4.4)
// in its IPv6 packet, without options.
type discovery struct {
	kind        byte
	flags       uint32
	source      netip.Addr
	destination netip.Addr
	target      netip.Addr
}

func (d discovery) bytes() (b [ipv6Header + discoverySize]byte) {
	b[0] = 6 << 4
	b[5] = discoverySize
	b[6] = unix.IPPROTO_ICMPV6
	b[7] = hopLimit
	source, destination, target := d.source.As16(), d.destination.As16(), d.target.As16()
	copy(b[8:], source[:])
	copy(b[24:], destination[:])
	message := b[ipv6Header:]
	message[0] = d.kind
	binary.BigEndian.PutUint32(message[4:], d.flags)
	copy(message[8:], target[:])
	binary.BigEndian.PutUint16(message[2:], checksum6(b[:], message))
	return b
}

// parseDiscovery takes what RFC 4861 7.1 calls valid, but for options, which are
// not looked at. A message behind an extension header is not taken: no host puts
// one there. The hop limit shows that no router passed it on.
func parseDiscovery(b []byte) (d discovery, ok bool) {
	if len(b) < ipv6Header+discoverySize || b[0]>>4 != 6 || b[6] != unix.IPPROTO_ICMPV6 || b[7] != hopLimit {
		return discovery{}, false
	}
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size < discoverySize || size > len(b)-ipv6Header || size%8 != 0 {
		return discovery{}, false
	}
	message := b[ipv6Header : ipv6Header+size]
	d = discovery{
		kind:        message[0],
		flags:       binary.BigEndian.Uint32(message[4:]),
		source:      netip.AddrFrom16([16]byte(b[8:24])),
		destination: netip.AddrFrom16([16]byte(b[24:40])),
		target:      netip.AddrFrom16([16]byte(message[8:24])),
	}
	known := d.kind == solicitation || d.kind == advertisement
	return d, known && message[1] == 0 && checksum6(b, message) == 0
}

// checksum6 covers addresses, length and protocol too (RFC 8200 8.1).
func checksum6(packet, message []byte) uint16 {
	n := len(message)
	return checksum(packet[8:ipv6Header], []byte{byte(n >> 8), byte(n), 0, unix.IPPROTO_ICMPV6}, message)
}

// shows is what the message says of its target: an advertisement that somebody
// has it, one that others should not believe at once (Override 0) perhaps only
// that somebody publishes it; a solicitation from nobody that somebody is about
// to use it (RFC 4862 5.4.3).
func (d discovery) shows() (by way, ok bool) {
	switch {
	case d.kind == solicitation:
		return rivalSolicitation, d.source.IsUnspecified() && d.destination == solicitedNode(d.target)
	case d.destination.IsMulticast() && d.flags&solicited != 0:
		return 0, false // RFC 4861 7.1.2
	case d.flags&override == 0:
		return byPublishedAdvertisement, true
	}
	return byAdvertisement, true
}

// solicitedNode is the group that whoever has the address must hear (RFC 4291 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	group := [16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff}
	b := a.As16()
	copy(group[13:], b[13:])
	return netip.AddrFrom16(group)
}

// discoveryFilter takes solicitations and advertisements for a target. It knows
// an address by its four words folded into one.
func discoveryFilter(targets []target) []unix.SockFilter {
	values := make([]uint32, len(targets))
	for i := range targets {
		a := targets[i].address.As16()
		for at := 0; at < len(a); at += 4 {
			values[i] ^= binary.BigEndian.Uint32(a[at:])
		}
	}
	code := []unix.SockFilter{
		load(unix.BPF_H, 6),
		jump(unix.BPF_JEQ, unix.IPPROTO_ICMPV6<<8|hopLimit, 0, 3),
		load(unix.BPF_H, ipv6Header),
		jump(unix.BPF_JEQ, solicitation<<8, 2, 0),
		jump(unix.BPF_JEQ, advertisement<<8, 1, 0),
		ret(reject),
		load(unix.BPF_W, ipv6Header+8),
	}
	for at := uint32(12); at < discoverySize; at += 4 {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX},
			load(unix.BPF_W, ipv6Header+at),
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X})
	}
	return forUs(append(code, among(values)...)...)
}

// solicitWire asks as duplicate address detection does: from nobody, so that it
// needs no address of ours, and one that publishes the target answers too. It is
// nil on an interface without neighbour discovery, and without IPv6. members is
// the socket that joins the targets' groups, as a rival must that wants to be
// heard: a switch may pass nothing to those who did not.
func solicitWire(external string, targets []target, members int) (*wire, error) {
	if members < 0 {
		return nil, nil
	}
	p, err := openPort(external, unix.ETH_P_IPV6, discoveryFilter(targets), len(targets))
	if p == nil {
		return nil, err
	}
	w := newWire("neighbour solicitation", external, p.fd, targets)
	w.send = func(_ uint16, t *target) error {
		group := solicitedNode(t.address)
		joined := join(members, p.index, group)
		q := discovery{solicitation, 0, netip.IPv6Unspecified(), group, t.address}.bytes()
		return errors.Join(joined, unix.Sendto(p.fd, q[:], 0, p.to(groupMAC(group))))
	}
	w.read = func(packet []byte, from unix.Sockaddr) (sign, bool) {
		mac, other := p.sender(from)
		d, ok := parseDiscovery(packet)
		if !ok || !other {
			return sign{}, false
		}
		by, ok := d.shows()
		seq, asked := w.find(d.target)
		return sign{seq, d.target, by, mac[:]}, ok && asked
	}
	return w, nil
}

// groupMAC is RFC 2464 7.
func groupMAC(group netip.Addr) [6]byte {
	b := group.As16()
	return [6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// join is once for addresses that share a group, and for later tries.
func join(fd, index int, group netip.Addr) error {
	err := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
		&unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)})
	if errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	return err
}
