package main

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

var networks = []attempt{
	{name: "raw socket", do: socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
	{name: "raw socket, IPv6", do: socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)},
	{name: "packet socket", do: socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
	{name: "vsock", do: socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
	{name: "socket of the kernel's crypto", do: socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
	{name: "netlink socket", do: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
	{name: "switch an interface off", do: func() error { return interfaceIoctl(unix.SIOCSIFFLAGS, "lo", 0) }},
	{name: "see the host's interfaces", do: func() error { return interfaceIoctl(unix.SIOCGIFINDEX, "ext0", 0) }},
	{name: "connect to the host", do: func() error { return dial("tcp", target["tcp"]) }},
	{name: "listen on the host's addresses", do: func() error {
		host, _, _ := net.SplitHostPort(target["tcp"])
		l, err := net.Listen("tcp", host+":0")
		if err == nil {
			l.Close()
		}
		return err
	}},
	{name: "connect to an abstract socket of the host", do: func() error { return dial("unix", "@"+target["abstract"]) }},
	{name: "make a TAP", do: func() error { _, err := tap("hostile0", unix.IFF_TAP); return err }},
	{name: "open another guest's TAP", do: func() error { _, err := tap(target["tap"], unix.IFF_TAP); return err }},
	{name: "give the own TAP away", do: ownTAP(func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETOWNER, unix.Getuid()) })},
	{name: "let the own TAP go", do: ownTAP(func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1) })},
	{name: "change the own TAP's address", do: ownTAP(func(fd int) error {
		r := request(target["own"])
		copy(r[16:], []byte{unix.ARPHRD_ETHER, 0, 0xfe, 0xff, 1, 2, 3, 4})
		return call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&r)))
	})},
	{name: "change the own TAP's link type", do: ownTAP(func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETLINK, unix.ARPHRD_NONE) })},
	{name: "a program for the own TAP's queues", do: ownTAP(func(fd int) error {
		none := int32(-1)
		return call(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETSTEERINGEBPF, uintptr(unsafe.Pointer(&none)))
	})},
	{name: "type into the log's terminal", do: func() error {
		c := [1]byte{'x'}
		return call(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	}},
	{name: "take the log's terminal", do: func() error {
		unix.Setsid()
		return unix.IoctlSetInt(0, unix.TIOCSCTTY, 0)
	}},
	{name: "paste into the log's terminal", do: func() error {
		selection := [16]byte{3} // TIOCL_PASTESEL
		return call(unix.SYS_IOCTL, 0, unix.TIOCLINUX, uintptr(unsafe.Pointer(&selection)))
	}},
}

func socket(family, kind, protocol int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, protocol)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func dial(network, address string) error {
	c, err := net.Dial(network, address)
	if err == nil {
		c.Close()
	}
	return err
}

func request(name string) (r [40]byte) {
	copy(r[:15], name)
	return r
}

func interfaceIoctl(op uintptr, name string, flags byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r := request(name)
	r[16] = flags
	return call(unix.SYS_IOCTL, uintptr(fd), op, uintptr(unsafe.Pointer(&r)))
}

func tap(name string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	if err != nil {
		return -1, err
	}
	r := request(name)
	*(*uint16)(unsafe.Pointer(&r[16])) = flags | unix.IFF_NO_PI
	return fd, call(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&r)))
}

// ownTAP is the one that was handed over, or that can be opened by its name.
func ownTAP(do func(fd int) error) func() error {
	return func() error {
		for fd := 3; fd < 1024; fd++ {
			r := request("")
			if call(unix.SYS_IOCTL, uintptr(fd), unix.TUNGETIFF, uintptr(unsafe.Pointer(&r))) == nil {
				return do(fd)
			}
		}
		fd, err := tap(target["own"], unix.IFF_TAP|unix.IFF_VNET_HDR)
		if err != nil {
			fd, err = tap(target["own"], unix.IFF_TAP)
		}
		if err != nil {
			return err
		}
		return do(fd)
	}
}
