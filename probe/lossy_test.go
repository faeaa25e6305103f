package probe

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A relay is a wire in two halves, in a namespace of its own between this one and
// the peer: what goes over it is counted, and lost or late as the test wants.
type relay struct {
	sync.Mutex
	seen  map[string]int
	loses func(kind string, n int) bool // n: how often one of its kind came, from 1
	late  time.Duration                 // what the peer sends
}

func (l lab) relay() *relay {
	l.t.Helper()
	l.ip("netns add relay")
	l.t.Cleanup(func() { l.ip("-n relay link set near netns peer name back", "netns del relay") }) // ext ends with near
	l.ip("-n peer link set eth0 down", "-n peer link set eth0 netns relay name near",
		"-n relay link add far type veth peer name eth0 netns peer",
		"-n relay link set near addrgenmode none arp off up", "-n relay link set far addrgenmode none arp off up",
		"-n peer link set eth0 addrgenmode none up", "-n peer addr add 10.9.0.2/16 dev eth0", "-n peer addr add fd09::2/64 dev eth0 nodad")
	// This host's kernel has no question of its own to the peer, which would be counted.
	mac := l.hardware()
	for _, a := range []string{"10.9.0.2", "fd09::2"} {
		l.run(fmt.Sprintf("ip neigh replace %s lladdr %v dev ext", a, mac))
	}
	r := &relay{seen: map[string]int{}, loses: func(string, int) bool { return false }}
	near, far := l.socketIn("relay", "near", unix.ETH_P_ALL), l.socketIn("relay", "far", unix.ETH_P_ALL)
	l.forward(near, far, r.passes)
	l.forward(far, near, func([]byte) (bool, time.Duration) { return true, r.delay() })
	return r
}

// passes counts a question. What is no question of ours goes its way.
func (r *relay) passes(b []byte) (bool, time.Duration) {
	r.Lock()
	defer r.Unlock()
	kind := question(b)
	if kind == "" {
		return true, 0
	}
	r.seen[kind]++
	return !r.loses(kind, r.seen[kind]), 0
}

func (r *relay) delay() time.Duration {
	r.Lock()
	defer r.Unlock()
	return r.late
}

// set begins anew with another fault.
func (r *relay) set(loses func(string, int) bool, late time.Duration) {
	r.Lock()
	defer r.Unlock()
	r.seen, r.loses, r.late = map[string]int{}, loses, late
}

func (r *relay) counts() string {
	r.Lock()
	defer r.Unlock()
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(r.seen)) {
		all = append(all, fmt.Sprint(kind, " ", r.seen[kind]))
	}
	return strings.Join(all, ", ")
}

// question is which of our ways of asking a frame is.
func question(b []byte) string {
	if len(b) < 14 {
		return ""
	}
	body := b[14:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_ARP:
		a, ok := parseARP(body)
		switch {
		case !ok || a.op != arpRequest:
			return ""
		case a.sender.IsUnspecified():
			return "ARP probe"
		}
		return "ARP request"
	case unix.ETH_P_IP:
		if m, ok := payload4(body); ok && body[9] == unix.IPPROTO_ICMP && len(m) > 0 && m[0] == echo4.request {
			return "echo"
		}
	case unix.ETH_P_IPV6:
		if d, ok := parseDiscovery(body); ok && d.kind == solicitation && d.source == netip.IPv6Unspecified() {
			return "solicitation"
		}
		if len(body) > ipv6Header && body[6] == unix.IPPROTO_ICMPV6 && body[ipv6Header] == echo6.request {
			return "echo6"
		}
	}
	return ""
}

// An answer is found if one question of three is not lost; lost in three, it is not:
// the limit of what is promised.
func TestLossy(t *testing.T) {
	l := newLab(t)
	r := l.relay()
	last := func(which string) func(string, int) bool {
		return func(kind string, n int) bool { return kind != which || n%tries != 0 }
	}
	t.Run("all lost", func(t *testing.T) {
		r.set(func(string, int) bool { return true }, 0)
		if got := text(mustAsk(t, list("10.9.0.2", "fd09::2"), timeout)); got != "" {
			t.Errorf("got %q, want silence", got)
		}
		const want = "ARP probe 3, ARP request 3, echo 3, echo6 3, solicitation 3"
		deadline := time.Now().Add(longest)
		for r.counts() != want && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		if got := r.counts(); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	})
	for _, test := range []struct {
		name  string
		loses func(kind string, n int) bool
		late  time.Duration
		want  string
	}{
		{"nothing lost", func(string, int) bool { return false }, 0,
			"10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "},
		{"only the last probe comes through", last("ARP probe"), 0, "10.9.0.2 answers ARP from 10.9.0.2; "},
		{"only the last request", last("ARP request"), 0, "10.9.0.2 answers ARP (published?) from 10.9.0.2; "},
		{"only the last echo", last("echo"), 0, "10.9.0.2 answers ICMP echo from 10.9.0.2; "},
		{"only the last solicitation", last("solicitation"), 0, "fd09::2 answers neighbour advertisement from fd09::2; "},
		{"only the last echo by IPv6", last("echo6"), 0, "fd09::2 answers ICMP echo from fd09::2; "},
		{"one in two lost", func(_ string, n int) bool { return n%2 == 1 }, 0,
			"10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "},
		{"late", func(string, int) bool { return false }, 200 * time.Millisecond,
			"10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "},
	} {
		t.Run(test.name, func(t *testing.T) {
			patiently(t, test.want, func(timeout time.Duration) string {
				r.set(test.loses, test.late)
				return text(mustAsk(t, list("10.9.0.2", "fd09::2"), timeout))
			})
		})
	}
}

// A host has the address on another interface than the one to us.
func TestElsewhereOnHost(t *testing.T) {
	l := newLab(t, "-n peer link set lo up", "-n peer addr add 10.9.7.7/32 dev lo", "-n peer addr add fd09:7::7/128 dev lo",
		"-6 route add fd09:7::/64 via fd09::2")
	answers(t, "10.9.7.7 answers ARP, ICMP echo from 10.9.7.7; fd09:7::7 answers ICMP echo from fd09:7::7; ", list("10.9.7.7", "fd09:7::7"))
	l.run("ip netns exec peer ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP")
	l.run("ip netns exec peer iptables -A INPUT -p icmp -j DROP")
	// By IPv6 a host speaks only for the interface's own: this one cannot be seen.
	answers(t, "10.9.7.7 answers ARP from 10.9.7.7; ", list("10.9.7.7", "fd09:7::7"))
}

// This host's firewall lets no answer to an echo in: below IP it is heard.
func TestOwnFirewall(t *testing.T) {
	l := newLab(t)
	l.run("iptables -A INPUT -p icmp -j DROP")
	t.Cleanup(func() { l.run("iptables -F INPUT"); l.run("ip6tables -F INPUT") })
	l.run("ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-reply -j DROP")
	answers(t, "10.9.0.2 answers ARP from 10.9.0.2; fd09::2 answers neighbour advertisement from fd09::2; ", list("10.9.0.2", "fd09::2"))
}
