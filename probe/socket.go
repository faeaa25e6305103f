package probe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"uml/fault"
)

const (
	icmp6Filter = 1 // ICMPV6_FILTER of linux/icmpv6.h

	// packetRoom is what a packet takes of a socket's buffer, generously.
	// Questions to a silent neighbour wait in the kernel until it gives the
	// neighbour up, for three seconds, and count all the while, as do those that
	// wait for a slow interface: with the default buffer the third try of 100
	// addresses would not go out.
	packetRoom = 2048
	leastRoom  = 128 << 10
)

// openEcho is a raw socket on external that hears nothing but answers with id.
func openEcho(k kind, external string, id uint16, addresses int) (int, error) {
	fd, err := unix.Socket(k.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, k.protocol)
	if errors.Is(err, unix.EPERM) {
		return -1, fault.NeedRoot.Permanent("open a raw socket: needs root (CAP_NET_RAW): %w", err)
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
	if err := attach(fd, echoFilter(k, id)); err != nil {
		return err
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

func makeRoom(fd, questions int) error {
	room := max(leastRoom, questions*tries*packetRoom)
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room))
}
