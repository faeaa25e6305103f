package netsetup

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// advertise sends one router advertisement with a prefix for autoconfiguration
// (RFC 4861 4.2, 4.6.2) from the namespace's eth0.
func advertise(t *testing.T, s *space, prefix string) {
	t.Helper()
	p := netip.MustParseAddr(prefix).As16()
	ra := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	ra = append(ra, 3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	ra = append(ra, p[:]...)
	var err error
	s.do(func() {
		var i *net.Interface
		if i, err = net.InterfaceByName("eth0"); err != nil {
			return
		}
		var fd int
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6); err != nil {
			return
		}
		defer unix.Close(fd)
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, i.Index)
		}
		if err == nil {
			to := netip.MustParseAddr("ff02::1").As16()
			for range 100 { // until the kernel has seen the carrier
				err = unix.Sendto(fd, ra, 0, &unix.SockaddrInet6{Addr: to, ZoneId: uint32(i.Index)})
				if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EADDRNOTAVAIL) {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
	if err != nil {
		t.Fatal("advertise:", err)
	}
}
