// Package announce tells everybody on the external interface that addresses are
// at this host now. A router that has known a guest by its last host would go on
// sending there until its entry is too old, for minutes (paper 4.2).
//
// An IPv4 address is announced in both forms, since kernels before 4.11 ignore one
// or the other: as a request (RFC 5227 2.3) and as a reply. An IPv6 address is
// announced by an unsolicited advertisement (RFC 4861 7.2.6) with Override: what
// the kernel answers for a published neighbour has none, and never takes the place
// of another hardware address.
//
// It costs one packet socket and two frames an IPv4 address, one raw socket and
// one packet for IPv6, and for the repetition two forks and no exec.
package announce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Interface is where the addresses are announced, as those of its own hardware
// address.
type Interface struct {
	Name  string
	Index int
	MAC   net.HardwareAddr
}

// A message and where it goes, in the kernel's own form: a child that was forked
// sends it, and can compute nothing.
type message struct {
	fd   int32
	b    []byte
	to   unsafe.Pointer
	size uintptr
}

// A voice can say once, and again, that addresses are here.
type voice struct {
	messages []message
	fds      []int
}

func newVoice(on Interface, addrs []netip.Addr) (*voice, error) {
	v := &voice{}
	var four, six []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	err := errors.Join(v.addARP(on, four), v.addNDP(on, six))
	for _, fd := range v.fds { // a slow wire takes them one by one; each counts as some 800 bytes
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1024*len(v.messages)+1<<16))
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *voice) close() {
	for _, fd := range v.fds {
		unix.Close(fd)
	}
}

// socket opens one that hears nothing.
func (v *voice) socket(family, kind, proto int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err == nil {
		v.fds = append(v.fds, fd)
	}
	return fd, err
}

func (v *voice) addARP(on Interface, addrs []netip.Addr) error {
	if len(addrs) == 0 || len(on.MAC) != 6 {
		return nil
	}
	fd, err := v.socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	to := &unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: network(unix.ETH_P_ARP), Ifindex: int32(on.Index), Halen: 6}
	copy(to.Addr[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	for _, a := range addrs {
		for _, op := range []uint16{request, reply} {
			v.messages = append(v.messages, message{int32(fd), arp(op, on.MAC, a), unsafe.Pointer(to), unsafe.Sizeof(*to)})
		}
	}
	return nil
}

const (
	request = 1
	reply   = 2
)

// arp is an announcement of RFC 826, for IPv4 on Ethernet. A reply is taken for one
// only if its target has the sender's hardware address (arp_is_garp, net/ipv4/arp.c).
func arp(op uint16, mac net.HardwareAddr, a netip.Addr) []byte {
	b := binary.BigEndian.AppendUint64(nil, 1<<48|unix.ETH_P_IP<<32|6<<24|4<<16|uint64(op))
	b = append(b, mac...)
	b = append(b, a.AsSlice()...)
	if op == reply {
		b = append(b, mac...)
	} else {
		b = append(b, make([]byte, len(mac))...)
	}
	return append(b, a.AsSlice()...)
}

// allNodes is ff02::1, everybody on the link.
var allNodes = [16]byte{0: 0xff, 1: 0x02, 15: 1}

// addNDP uses a socket on which the kernel chooses the source, the link-local
// address of the interface, and writes the checksum.
func (v *voice) addNDP(on Interface, addrs []netip.Addr) error {
	if len(addrs) == 0 || len(on.MAC) != 6 {
		return nil
	}
	fd, err := v.socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
	if err != nil {
		return fmt.Errorf("open an ICMPv6 socket: %w", err)
	}
	none := unix.ICMPv6Filter{}
	for i := range none.Data {
		none.Data[i] = ^uint32(0)
	}
	err = errors.Join(
		unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &none),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255), // or nobody takes it (RFC 4861 7.1.2)
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
	)
	if err != nil {
		return fmt.Errorf("set up an ICMPv6 socket: %w", err)
	}
	to := &unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: allNodes, Scope_id: uint32(on.Index)}
	for _, a := range addrs {
		v.messages = append(v.messages, message{int32(fd), advertisement(on.MAC, a), unsafe.Pointer(to), unsafe.Sizeof(*to)})
	}
	return nil
}

// advertisement says that the address is at this hardware address, a router:
// without that flag, a host that has us as its default router would drop us.
func advertisement(mac net.HardwareAddr, a netip.Addr) []byte {
	const (
		neighbourAdvertisement = 136
		router                 = 1 << 31
		override               = 1 << 29
		targetLinkLayer        = 2
	)
	b := binary.BigEndian.AppendUint64(nil, neighbourAdvertisement<<56|router|override)
	b = append(b, a.AsSlice()...)
	b = append(b, targetLinkLayer, 1) // in units of 8 bytes
	return append(b, mac...)
}

func network(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// once says all. What cannot be said now is the error, the first of its kind.
func (v *voice) once() (err error) {
	for _, m := range v.messages {
		_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(m.fd), uintptr(unsafe.Pointer(&m.b[0])), uintptr(len(m.b)), 0, uintptr(m.to), m.size)
		if e != 0 && err == nil {
			err = e
		}
	}
	return err
}
