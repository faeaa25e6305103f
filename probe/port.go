package probe

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A port is a packet socket for one protocol on an Ethernet interface.
type port struct {
	fd    int
	index int
	mac   [6]byte // our own
	proto uint16  // in network order
}

// openPort hears nothing but what passes code: until it is bound, it hears
// nothing at all. It is nil on an interface where nobody asks for hardware
// addresses.
func openPort(external string, proto uint16, code []unix.SockFilter, questions int) (*port, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fault.Temporary("open a packet socket: %w", err)
	}
	p := &port{fd: fd, proto: network(proto)}
	asks, err := p.bind(external, code, questions)
	if err != nil || !asks {
		unix.Close(fd)
		p = nil
	}
	if err != nil {
		return nil, fault.Temporary("set up a packet socket on %s: %w", external, err)
	}
	return p, nil
}

// bind says whether hosts on the interface ask for each other's addresses.
func (p *port) bind(external string, code []unix.SockFilter, questions int) (bool, error) {
	flags, err := p.look(external)
	if err != nil || flags&unix.IFF_NOARP != 0 {
		return false, err
	}
	if err := attach(p.fd, code); err != nil {
		return false, err
	}
	if err := makeRoom(p.fd, questions); err != nil {
		return false, err
	}
	if err := unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: p.proto, Ifindex: p.index}); err != nil {
		return false, fmt.Errorf("bind: %w", err)
	}
	self, err := unix.Getsockname(p.fd)
	if err != nil {
		return false, fmt.Errorf("getsockname: %w", err)
	}
	a, ok := self.(*unix.SockaddrLinklayer)
	if !ok || a.Hatype != unix.ARPHRD_ETHER || int(a.Halen) != len(p.mac) {
		return false, nil
	}
	copy(p.mac[:], a.Addr[:])
	return true, nil
}

// look finds the interface's index, and its flags.
func (p *port) look(external string) (flags uint16, err error) {
	r, err := unix.NewIfreq(external)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(p.fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, fmt.Errorf("SIOCGIFINDEX: %w", err)
	}
	p.index = int(r.Uint32())
	if err := unix.IoctlIfreq(p.fd, unix.SIOCGIFFLAGS, r); err != nil {
		return 0, fmt.Errorf("SIOCGIFFLAGS: %w", err)
	}
	return r.Uint16(), nil
}

// to is where a frame goes; the kernel writes its header.
func (p *port) to(mac [6]byte) *unix.SockaddrLinklayer {
	a := &unix.SockaddrLinklayer{Protocol: p.proto, Ifindex: p.index, Halen: uint8(len(mac))}
	copy(a.Addr[:], mac[:])
	return a
}

// sender is the hardware address that a frame came from. Our own frames, which a
// wire may bring back, have none.
func (p *port) sender(from unix.Sockaddr) (mac [6]byte, ok bool) {
	a, isLink := from.(*unix.SockaddrLinklayer)
	if !isLink || int(a.Halen) != len(mac) {
		return mac, false
	}
	copy(mac[:], a.Addr[:])
	return mac, mac != p.mac
}

func network(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}
