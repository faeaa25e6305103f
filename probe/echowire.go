package probe

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// echoWire is a wire to be closed even if there is an error. One whose questions
// can never leave still takes its part: it says so of each address.
func echoWire(k kind, external string, targets []target) (*wire, error) {
	s := newStamp()
	fd, err := openEcho(k, external, s.id, len(targets))
	w := newWire("ICMP echo", external, fd, targets)
	w.send = func(seq uint16, t *target) error {
		if k == echo4 {
			if err := t.findSource(external); err != nil {
				return err
			}
		}
		q := s.question(k, seq)
		return unix.Sendto(fd, q[:], 0, sockaddr(t.address))
	}
	w.read = func(packet []byte, from unix.Sockaddr) (sign, bool) {
		seq, source, ok := s.read(k, packet, from)
		return sign{int(seq), source, byEcho, nil}, ok
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		w.send = func(uint16, *target) error { return err }
		return w, nil
	}
	return w, err
}

// read is what a packet from the socket answers, and whose answer it is.
func (s stamp) read(k kind, packet []byte, from unix.Sockaddr) (seq uint16, source netip.Addr, ok bool) {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		source = netip.AddrFrom4(a.Addr)
		if packet, ok = payload4(packet); !ok {
			return 0, source, false
		}
	case *unix.SockaddrInet6:
		source = netip.AddrFrom16(a.Addr)
	}
	seq, ok = s.answered(k, packet)
	return seq, source, ok
}
