package netsetup

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// eventually waits for what must come, as long as a busy machine may need.
func eventually(t *testing.T, what string, f func() (ok bool, got string)) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		ok, got := f()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never %s:\n%s", what, got)
		}
	}
}

// within asks by ARP six times in a row, until all are answered in that time: what
// the kernel's proxy_delay puts off is late by chance, and never so often on time.
func within(t *testing.T, s *space, limit time.Duration, address string) {
	t.Helper()
	const times = 6
	eventually(t, "six answers within "+limit.String(), func() (bool, string) {
		out, err := s.try(fmt.Sprintf("arping -i eth0 -W 0.02 -w 1 -c %d -C %d %s || arping -I eth0 -c %d %s", times, times, address, times, address))
		took := regexp.MustCompile(`time=([0-9.]+) ([a-z]+)`).FindAllStringSubmatch(out, -1)
		late := slices.ContainsFunc(took, func(m []string) bool {
			n, _ := strconv.ParseFloat(m[1], 64)
			unit := map[string]time.Duration{"usec": time.Microsecond, "msec": time.Millisecond, "sec": time.Second}[m[2]]
			return unit == 0 || time.Duration(n*float64(unit)) > limit
		})
		return err == nil && len(took) >= times && !late, out
	})
}

func ping(t *testing.T, s *space, address string) {
	t.Helper()
	eventually(t, "a ping answered", func() (bool, string) {
		out, err := s.try("ping -c 2 -i 0.1 -W 1 " + address)
		return err == nil, out
	})
}

const paperGuest = "ip addr add 192.0.2.20/32 dev eth0; ip route add default dev eth0"

// A guest configured as the paper says (4.2) is reached by the other host and
// reaches the world, and nobody waits for an answer to ARP.
func TestTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(t, machine("192.0.2.20/32", "192.0.2.32/29"))
	g := w.guest(t, "tap_bara")
	g.sh(paperGuest + "; ip addr add 192.0.2.38/32 dev eth0")
	within(t, w.other, 50*time.Millisecond, "192.0.2.20")
	within(t, w.other, 50*time.Millisecond, "192.0.2.38")
	for _, outside := range []string{"192.0.2.1", "192.0.2.254", "203.0.113.1"} {
		within(t, g.space, 50*time.Millisecond, outside)
		ping(t, g.space, outside)
	}
	ping(t, w.other, "192.0.2.20")
	ping(t, w.other, "192.0.2.38")
	ping(t, w.host, "192.0.2.20")
}

// So does one that has the host, or the network's router, as its gateway.
func TestGateway(t *testing.T) {
	t.Parallel()
	for _, conf := range []string{
		"ip addr add 192.0.2.20/32 dev eth0; ip route add default via 192.0.2.1 dev eth0 onlink",
		"ip addr add 192.0.2.20/24 dev eth0; ip route add default via 192.0.2.1",
		"ip addr add 192.0.2.20/24 dev eth0; ip route add default via 192.0.2.254",
	} {
		w := newWorld(t)
		w.up(t, machine("192.0.2.20/32"))
		g := w.guest(t, "tap_bara")
		g.sh(conf)
		ping(t, g.space, "203.0.113.1")
		ping(t, g.space, "192.0.2.2")
		ping(t, w.other, "192.0.2.20")
	}
}

// The host falls silent when the guest's kernel dies, and answers again when one
// opens the TAP; and by Release it is silent with a guest there. The kernel tells
// the routes of a lost carrier once a second at most.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	silent := func(when string) {
		t.Helper()
		eventually(t, "silent "+when, func() (bool, string) {
			out, err := w.other.try("arping -i eth0 -w 0.2 -c 1 -C 1 192.0.2.20")
			return err != nil, out
		})
	}
	silent("before a guest")
	g := w.guest(t, "tap_bara")
	within(t, w.other, 50*time.Millisecond, "192.0.2.20")
	g.die()
	silent("after its death")
	w.guest(t, "tap_bara")
	within(t, w.other, 50*time.Millisecond, "192.0.2.20")
	w.in(t, "Release", func() error { return Release(m, host()) })
	silent("after Release")
}

// A guest cannot send with an address that is not its own (rp_filter).
func TestSpoof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(t, machine("192.0.2.20/32"))
	g := w.guest(t, "tap_bara")
	g.sh(paperGuest + "; ip addr add 192.0.2.66/32 dev eth0")
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				g.try("ping -c 1 -W 0.1 -I 192.0.2.66 192.0.2.2 || ping -c 1 -W 0.1 -I 192.0.2.20 192.0.2.2")
			}
		}
	}()
	out, err := w.other.try("timeout 60 tcpdump --immediate-mode -Z root -nn -i eth0 -c 10 icmp and not src 192.0.2.2 2>/dev/null")
	if err != nil || strings.Contains(out, "IP 192.0.2.66") {
		t.Errorf("%v: a packet of another's address arrives, or none of its own:\n%s", err, out)
	}
}

// What is published outlives the carrier of the external interface (NUD_PERMANENT).
func TestCarrier(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(t, machine("192.0.2.20/32"))
	w.other.sh("ip link set eth0 down; sleep 1.2; ip link set eth0 up")
	if got := w.host.sh("ip neigh show proxy"); !strings.Contains(got, "192.0.2.20 dev eth0") {
		t.Errorf("published: %q", got)
	}
}

func TestTraffic6(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.sh("echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_ra")
	w.up(t, machine("2001:db8:1::/64", "2001:db8:2::/56"))
	if got := w.host.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra"); got != "2\n" {
		t.Errorf("accept_ra of the external interface is %q, want 2", got)
	}
	g := w.guest(t, "tap_bara")
	g.sh(`ip -6 addr add 2001:db8:1::2/64 dev eth0 nodad; ip -6 addr add 2001:db8:2::7/128 dev lo
		ip -6 route add default via 2001:db8:1::1`)
	ping(t, w.other, "2001:db8:1::2")
	ping(t, w.other, "2001:db8:2::7")
	ping(t, g.space, "2001:db8::2")
	ping(t, g.space, "2001:db8:1::1")
	ping(t, w.host, "2001:db8:1::2")
}

// Forwarding does not cost the host what its router advertises to it, on any
// interface; what a guest advertises it never heeds.
func TestAdvertisements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(t, machine("2001:db8:1::/64"))
	g := w.guest(t, "tap_bara")
	g.sh("ip -6 addr add fe80::2/64 dev eth0 nodad")
	advertise(t, g.space, "2001:db8:bb::")
	advertise(t, w.other, "2001:db8:aa::")
	eventually(t, "heeding the router's advertisement", func() (bool, string) {
		got := w.host.sh("ip -6 addr; ip -6 route")
		return strings.Contains(got, "2001:db8:aa:"), got
	})
	time.Sleep(200 * time.Millisecond)
	if got := w.host.sh("ip -6 route; ip -6 addr"); strings.Contains(got, "2001:db8:bb:") || strings.Contains(got, "dev tap_bara proto ra") {
		t.Errorf("the guest's advertisement was heeded:\n%s", got)
	}
}

// What comes up for a machine of IPv4 alone says nothing by IPv6 on the TAP.
func TestNoIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(t, machine("192.0.2.20/32"))
	w.guest(t, "tap_bara")
	time.Sleep(300 * time.Millisecond) // for what must not come
	if got := w.host.sh("ip -6 addr show dev tap_bara; ip -6 route show table all dev tap_bara"); got != "" {
		t.Errorf("IPv6 on the TAP:\n%s", got)
	}
	if got := w.host.sh("cat /proc/sys/net/ipv6/conf/all/forwarding"); got != "0\n" {
		t.Errorf("IPv6 forwarding of the whole host is %q", got)
	}
}
