package probe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	arpSize    = 28
	arpRequest = 1
	arpReply   = 2
)

// An arp is a packet of RFC 826, for IPv4 on Ethernet. The target's hardware
// address, which nobody knows who asks, is left out.
type arp struct {
	op        uint16
	mac       [6]byte // the sender's
	sender    netip.Addr
	requested netip.Addr
}

// arpHead is Ethernet, IPv4, and the lengths of their addresses.
const arpHead = 1<<48 | unix.ETH_P_IP<<32 | 6<<24 | 4<<16

func (a arp) bytes() (b [arpSize]byte) {
	binary.BigEndian.PutUint64(b[:], arpHead|uint64(a.op))
	copy(b[8:], a.mac[:])
	sender, requested := a.sender.As4(), a.requested.As4()
	copy(b[14:], sender[:])
	copy(b[24:], requested[:])
	return b
}

// parseARP takes a request or a reply. Short frames are padded: what follows does
// not count.
func parseARP(b []byte) (a arp, ok bool) {
	if len(b) < arpSize {
		return arp{}, false
	}
	a = arp{
		op:        binary.BigEndian.Uint16(b[6:]),
		mac:       [6]byte(b[8:14]),
		sender:    netip.AddrFrom4([4]byte(b[14:18])),
		requested: netip.AddrFrom4([4]byte(b[24:28])),
	}
	known := a.op == arpRequest || a.op == arpReply
	return a, known && binary.BigEndian.Uint64(b) == arpHead|uint64(a.op)
}

// shows is the address that the packet speaks of, and as what: whoever names
// itself by it uses it, and who asks for it without a name is about to (RFC 5227
// 2.1.1). A reply to an ordinary request may come from a host that publishes it.
func (a arp) shows() (netip.Addr, way) {
	switch {
	case a.op == arpRequest && a.sender.IsUnspecified():
		return a.requested, rivalProbe
	case a.op == arpReply && !a.requested.IsUnspecified() && a.requested != a.sender:
		return a.sender, byPublishedARP
	}
	return a.sender, byARP
}

// arpFilter takes what speaks of one of the targets: the same address as shows.
func arpFilter(targets []target) []unix.SockFilter {
	values := make([]uint32, len(targets))
	for i := range targets {
		a := targets[i].address.As4()
		values[i] = binary.BigEndian.Uint32(a[:])
	}
	return forUs(append([]unix.SockFilter{
		load(unix.BPF_W, 14), // sender
		jump(unix.BPF_JEQ, 0, 0, 1),
		load(unix.BPF_W, 24), // requested
	}, among(values)...)...)
}

// arpWire asks in both forms. It is nil on an interface without ARP.
func arpWire(external string, targets []target) (*wire, error) {
	p, err := openPort(external, unix.ETH_P_ARP, arpFilter(targets), 2*len(targets))
	if p == nil {
		return nil, err
	}
	w := newWire("ARP", external, p.fd, targets)
	everybody := p.to([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	request := func(sender netip.Addr, t *target) error {
		q := arp{arpRequest, p.mac, sender, t.address}.bytes()
		return unix.Sendto(p.fd, q[:], 0, everybody)
	}
	w.send = func(_ uint16, t *target) error {
		// The probe first: its answer is the one that tells an owner.
		if err := request(netip.IPv4Unspecified(), t); err != nil {
			return err
		}
		t.asked = true
		if err := t.findSource(external); err != nil {
			return err
		}
		return request(t.source, t)
	}
	w.read = func(frame []byte, from unix.Sockaddr) (sign, bool) {
		mac, other := p.sender(from)
		a, ok := parseARP(frame)
		if !ok || !other || a.mac == p.mac {
			return sign{}, false
		}
		address, by := a.shows()
		seq, ok := w.find(address)
		return sign{seq, address, by, mac[:]}, ok
	}
	return w, nil
}
