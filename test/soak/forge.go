package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/frames"
	"uml/test/lab"
)

// forge is this program in a guest: it sends every forgery on a device.
func forge(dev, ip4, prefix, hostMAC, other string) {
	i, err := net.InterfaceByName(dev)
	fatal(err)
	mac, err := net.ParseMAC(hostMAC)
	fatal(err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	fatal(err)
	p := netip.MustParsePrefix(prefix)
	ip := netip.MustParseAddr
	s := frames.Scene{
		Kind:   frames.Routed,
		Prefix: p,
		Guest:  frames.Node{MAC: i.HardwareAddr, IP4: ip(ip4), IP6: p.Addr().Next().Next(), Link: ip("fe80::fcfd:c0ff:fe00:2")},
		Host:   frames.Node{MAC: mac, IP4: ip(lab.HostIP4), IP6: p.Addr().Next(), Link: ip("fe80::1")},
		Other:  frames.Node{MAC: net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, 200}, IP4: ip(other), IP6: ip("2001:db8:ffff::77"), Link: ip("fe80::77")},
		Router: frames.Node{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, IP4: ip(lab.OtherIP4), IP6: ip(lab.OtherIP6), Link: ip("fe80::2")},
	}
	n := 0
	for range 5 {
		for _, f := range frames.Forgeries(s) {
			fatal(unix.Sendto(fd, f.Bytes, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}))
			n++
		}
	}
	fmt.Println("sent", n) // not "forged": with a '[' at the end of a TCP time stamp that is the mark
}

// forgeries has the guest forge another's address, and many more.
func forgeries(g *guest) {
	other := g.guests[(g.number+1)%len(g.guests)].ip4(0)
	prefix := g.prefix
	if prefix == "" {
		prefix = "2001:db8:eeee::/64"
	}
	mac := strings.TrimSpace(g.must("cat", "/sys/class/net/tap_"+g.name+"/address"))
	tap, _ := strconv.Atoi(strings.TrimSpace(g.must("cat", "/sys/class/net/tap_"+g.name+"/ifindex")))
	g.ear.forgers.Store(tap, true)
	defer time.AfterFunc(5*time.Second, func() { g.ear.forgers.Delete(tap) })
	said := g.inside("forge forge $(ls /sys/class/net | grep -v lo) " + strings.Join([]string{g.address, prefix, mac, other}, " ") + " 2>&1")
	_, number, ok := strings.Cut(strings.TrimSpace(said), "sent ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		g.find("could not forge: %q", said)
	}
	g.tally.add("packets", "forged, sent by guests", n)
	// What was dropped of it is counted by its TAP, as long as that is there.
	for _, m := range regexp.MustCompile(`(?m)^forged, and dropped: (\d+)`).FindAllStringSubmatch(g.must("uml-net", "show", g.name), -1) {
		n, _ := strconv.Atoi(m[1])
		g.tally.add("packets", "forged, said to be dropped by uml-net show", n)
	}
}

// An ear hears all that leaves an interface of the host: nothing forged may be in it.
type ear struct {
	in, out atomic.Int64
	forgers sync.Map // TAPs of those that forge just now, by number
}

var mark = []byte("[forged ")

func (h *host) newEar() *ear {
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	fd, err := h.within("", func() (int, error) {
		return unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	})
	if err != nil {
		h.t.Fatalf("soak: packet socket on the host: %v", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	e := &ear{}
	go e.listen(h, fd)
	return e
}

func (e *ear) listen(h *host, fd int) {
	for b := make([]byte, 65536); ; {
		n, from, err := unix.Recvfrom(fd, b, 0)
		if err == unix.EINTR {
			continue
		} else if err != nil {
			h.found(nil, "the packet socket: %v", err)
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || !bytes.Contains(b[:n], mark) {
			continue
		}
		if _, own := e.forgers.Load(link.Ifindex); link.Pkttype != unix.PACKET_OUTGOING {
			e.in.Add(1)
		} else if own { // the host's errors to the forger, and what it sent to its own link
			continue
		} else if e.out.Add(1) <= 5 {
			h.found(nil, "a forged frame left by interface %d: %x", link.Ifindex, b[:n])
		}
	}
}
