package probe

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
)

var errSourceless = errors.New("this host has no IPv4 address that could be answered")

// findSource notes the address that the host itself asks the target from: on the
// link the one in the target's own network. It is an error if there is none: the
// kernel would then send from 0.0.0.0, and nobody can answer.
func (t *target) findSource(external string) error {
	if t.source.IsValid() {
		return nil
	}
	source, err := source4(external, t.address)
	if err == nil {
		t.source = source
	}
	return err
}

// source4 has the kernel choose, on a socket for each address: to disconnect one
// would unbind it from its interface.
func source4(external string, to netip.Addr) (netip.Addr, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, fault.Temporary("open a socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.BindToDevice(fd, external); err != nil {
		return netip.Addr{}, fault.Temporary("bind to interface %s: %w", external, err)
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return netip.Addr{}, err
	}
	self, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}, fault.Temporary("get a socket's address: %w", err)
	}
	if a, ok := self.(*unix.SockaddrInet4); ok && a.Addr != [4]byte{} {
		return netip.AddrFrom4(a.Addr), nil
	}
	return netip.Addr{}, errSourceless
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
