package probe

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
)

var errSourceless = errors.New("this host has no IPv4 address that could be answered")

// echoes opens a wire for each family that is asked for.
func echoes(external string, addrs []netip.Addr) ([]*wire, error) {
	// The kernel takes an empty name for "no interface" and cuts a long one.
	if external == "" || len(external) >= unix.IFNAMSIZ {
		return nil, fault.Permanent("%q is not the name of an interface", external)
	}
	if len(addrs) > 1<<16 {
		return nil, fault.Permanent("%d addresses to ask, there are sequence numbers for 65536", len(addrs))
	}
	asks4, asks6 := byFamily(addrs)
	var wires []*wire
	for _, f := range []struct {
		kind kind
		asks []ask
	}{{echo4, asks4}, {echo6, asks6}} {
		if len(f.asks) == 0 {
			continue
		}
		w, err := echoWire(f.kind, external, f.asks)
		wires = append(wires, w)
		if err != nil {
			return wires, err
		}
	}
	return wires, nil
}

// byFamily drops zones: the interface to ask on is given.
func byFamily(addrs []netip.Addr) (asks4, asks6 []ask) {
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if a.Is4() {
			asks4 = append(asks4, ask{address: a})
		} else {
			asks6 = append(asks6, ask{address: a})
		}
	}
	return asks4, asks6
}

// echoWire is a wire to be closed even if there is an error. One whose questions
// can never leave still takes its part: it says so of each address.
func echoWire(k kind, external string, asks []ask) (*wire, error) {
	s := newStamp()
	fd, err := openEcho(k, external, s.id, len(asks))
	w := &wire{
		how: "ICMP echo", external: external, fd: fd, asks: asks, silent: len(asks),
		send: func(seq uint16, to netip.Addr) error {
			q := s.question(k, seq)
			return unix.Sendto(fd, q[:], 0, sockaddr(to))
		},
		read: func(packet []byte, from unix.Sockaddr) (uint16, netip.Addr, bool) {
			return s.read(k, packet, from)
		},
	}
	if err == nil && k == echo4 {
		err = source4(external, asks[0].address)
	}
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, errSourceless) {
		w.send = func(uint16, netip.Addr) error { return err }
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
