package probe

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
)

const (
	icmp6Filter = 1 // ICMPV6_FILTER of linux/icmpv6.h

	// packetRoom is what a packet takes of a socket's buffer, generously.
	// Questions to a silent neighbour wait in the kernel until it gives the
	// neighbour up, for three seconds, and count all the while: with the default
	// buffer the third try of 100 addresses would not go out.
	packetRoom = 2048
	leastRoom  = 128 << 10
)

// openEcho is a raw socket on external that hears nothing but answers with id.
func openEcho(k kind, external string, id uint16, addresses int) (int, error) {
	fd, err := unix.Socket(k.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, k.protocol)
	if errors.Is(err, unix.EPERM) {
		return -1, fault.Permanent("open a raw socket: needs root (CAP_NET_RAW): %w", err)
	}
	if err != nil {
		return -1, fault.Temporary("open a raw socket: %w", err)
	}
	if err := unix.BindToDevice(fd, external); err != nil {
		unix.Close(fd)
		return -1, fault.Temporary("bind to interface %s: %w", external, err)
	}
	err = filter(fd, k, id)
	if err == nil {
		err = makeRoom(fd, addresses)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fault.Temporary("set up a raw socket: %w", err)
	}
	return fd, nil
}

// filter lets the kernel drop what is not for us before it wakes us, and drops
// what was queued before: the socket is open to all from its first moment.
func filter(fd int, k kind, id uint16) error {
	if k == echo6 {
		if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, icmp6Filter, allBut(k.reply)); err != nil {
			return fmt.Errorf("ICMPV6_FILTER: %w", err)
		}
	}
	code := program(k, id)
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	for {
		if _, _, err := unix.Recvfrom(fd, nil, 0); err == unix.EAGAIN {
			return nil
		} else if err != nil && err != unix.EINTR {
			return err
		}
	}
}

// allBut is the set of ICMPv6 types to drop.
func allBut(kept byte) *unix.ICMPv6Filter {
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[kept/32] &^= 1 << (kept % 32)
	return &f
}

// program is the filter in classic BPF: echo replies, code 0, with our id. X is
// where the ICMP message starts: raw IPv4 sockets see the IP header before it.
func program(k kind, id uint16) []unix.SockFilter {
	start := unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_IMM, K: 0}
	if k == echo4 {
		start = unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0} // 4 * (packet[0] & 0xf)
	}
	return []unix.SockFilter{
		start,
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: uint32(k.reply) << 8},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(id)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

func makeRoom(fd, addresses int) error {
	room := max(leastRoom, addresses*tries*packetRoom)
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room))
}

// source4 is an error if the host has no IPv4 address at all: the kernel then
// sends from 0.0.0.0 and nobody can answer. A socket of its own finds that out,
// since to disconnect a raw one would unbind it from its interface.
func source4(external string, to netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fault.Temporary("open a socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.BindToDevice(fd, external); err != nil {
		return fault.Temporary("bind to interface %s: %w", external, err)
	}
	if unix.Connect(fd, sockaddr(to)) != nil {
		return nil // sending will say why
	}
	self, err := unix.Getsockname(fd)
	if a, ok := self.(*unix.SockaddrInet4); ok && a.Addr == [4]byte{} {
		return errSourceless
	}
	return err
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
