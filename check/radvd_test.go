package check

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel lets one socket join as many groups as the check says, and no more.
func TestJoined(t *testing.T) {
	most, ok := sysctl("net/core/optmem_max")
	if !ok {
		t.Fatal("no net.core.optmem_max")
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	groups := 0
	for ; err == nil; groups++ {
		join := unix.IPv6Mreq{Multiaddr: [16]byte{0: 0xff, 1: 0x01, 12: 1, 13: byte(groups >> 16), 14: byte(groups >> 8), 15: byte(groups)}, Interface: 1}
		err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &join)
	}
	groups--
	if err != unix.ENOMEM && err != unix.ENOBUFS {
		t.Fatal(err)
	}
	for interfaces, warns := range map[int]bool{0: false, groups: false, groups + 1: true} {
		c := &checker{host: &section{}}
		c.joined(interfaces)
		if got := len(c.host.lines) == 1 && strings.Contains(c.host.lines[0].Text, "optmem_max"); got != warns {
			t.Errorf("optmem_max %d, %d joined, of %d interfaces: %v", most, groups, interfaces, c.host.lines)
		}
	}
}
