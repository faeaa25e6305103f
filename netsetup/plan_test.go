package netsetup

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uml/settings"
)

var fresh4 = []string{
	"sysctl -w net.ipv4.conf.eth0.forwarding=1",
	"sysctl -w net.ipv4.neigh.eth0.proxy_delay=0",
	"sysctl -w net.ipv4.conf.tap_bara.forwarding=1",
	"sysctl -w net.ipv4.conf.tap_bara.proxy_arp=1",
	"sysctl -w net.ipv4.neigh.tap_bara.proxy_delay=0",
	"sysctl -w net.ipv4.conf.tap_bara.rp_filter=1",
	"sysctl -w net.ipv4.conf.tap_bara.accept_redirects=0",
	"sysctl -w net.ipv4.conf.tap_bara.send_redirects=0",
	"sysctl -w net.ipv4.conf.tap_bara.accept_source_route=0",
	"sysctl -w net.ipv4.conf.tap_bara.ignore_routes_with_linkdown=1",
}

// freshRules are the firewall's, for all guests of the host.
var freshRules = []string{
	"ipset -exist create uml-own4 hash:net family inet maxelem 1048576",
	"ipset -exist create uml-forged4 hash:net,iface family inet counters forceadd maxelem 16384 timeout 86400",
	"iptables -t raw -N UML-FORGED",
	"iptables -t raw -N UML-GUESTS",
	"iptables -t raw -N UML-OUTSIDE",
	"iptables -t raw -A UML-OUTSIDE -m set --match-set uml-own4 src -j DROP",
	"iptables -t raw -A UML-FORGED -m set --match-set uml-forged4 src,src -j DROP",
	"iptables -t raw -A UML-FORGED -j SET --add-set uml-forged4 src,src",
	"iptables -t raw -A UML-FORGED -j DROP",
	"iptables -t raw -A UML-GUESTS -m rpfilter --invert -j UML-FORGED",
	"iptables -t raw -A UML-GUESTS -d 169.254.0.0/16 -j DROP",
	"iptables -t raw -A UML-GUESTS -p icmp --icmp-type fragmentation-needed -m addrtype --dst-type LOCAL -j DROP",
	"iptables -t raw -I PREROUTING -m devgroup ! --src-group 117 -m rpfilter --invert -j UML-OUTSIDE",
	"iptables -t raw -I PREROUTING -m devgroup --src-group 117 -j UML-GUESTS",
	"ipset -exist create uml-own6 hash:net family inet6 maxelem 1048576",
	"ipset -exist create uml-forged6 hash:net,iface family inet6 counters forceadd maxelem 16384 timeout 86400",
	"ip6tables -t raw -N UML-FORGED",
	"ip6tables -t raw -N UML-GUESTS",
	"ip6tables -t raw -N UML-OUTSIDE",
	"ip6tables -t raw -A UML-OUTSIDE -m set --match-set uml-own6 src -j DROP",
	"ip6tables -t raw -A UML-FORGED -m set --match-set uml-forged6 src,src -j DROP",
	"ip6tables -t raw -A UML-FORGED -j SET --add-set uml-forged6 src,src",
	"ip6tables -t raw -A UML-FORGED -j DROP",
	"ip6tables -t raw -A UML-GUESTS -m rpfilter --invert -j UML-FORGED",
	"ip6tables -t raw -A UML-GUESTS -m rt -j DROP",
	"ip6tables -t raw -A UML-GUESTS -p icmpv6 --icmpv6-type packet-too-big -m addrtype --dst-type LOCAL,ANYCAST -j DROP",
	"ip6tables -t raw -A UML-GUESTS -d ff00::/8 -p icmpv6 --icmpv6-type packet-too-big -j DROP",
	"ip6tables -t raw -A UML-GUESTS -s ::/128 ! -p icmpv6 -j UML-FORGED",
	"ip6tables -t raw -I PREROUTING -m devgroup ! --src-group 117 -m rpfilter --invert -j UML-OUTSIDE",
	"ip6tables -t raw -I PREROUTING -m devgroup --src-group 117 -j UML-GUESTS",
}

// What --dry-run prints of a first start, and that it changes nothing.
func TestPlanFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot(t)
	got := w.plan(t, machine("192.0.2.20/32"))
	want := lines(
		lines(freshRules...),
		"ip tuntap add dev tap_bara mode tap user 1001",
		`ip link set dev tap_bara alias "uml /machines/bara"`,
		"ip link set dev tap_bara group 117",
		"ip link property add dev tap_bara altname "+machineName(machine()),
		"ip link property add dev tap_bara altname uml-uid-1001",
		lines(fresh4...),
		"sysctl -w net.ipv6.conf.tap_bara.disable_ipv6=1",
		"ip link set dev tap_bara address "+machine().HostMAC().String(),
		"ip link set dev tap_bara up",
		"ip route add 192.0.2.20/32 dev tap_bara proto 117",
		"ipset -exist add uml-own4 192.0.2.20/32",
		"ip neigh replace proxy 192.0.2.20 dev eth0 protocol 117",
		"# announce on eth0: 192.0.2.20",
	)
	equal(t, "plan", lines(got...), want)
	equal(t, "host after Plan", w.snapshot(t), before)
}

// The commands of the plan, typed, make what Up makes. Only the firewall's rules lack
// the mark of having been looked at, and would be made once more.
func TestPlanTyped(t *testing.T) {
	t.Parallel()
	m := machine("192.0.2.20/32", "192.0.2.32/30", "2001:db8:1::/64", "2001:db8:2::/56")
	typed, done := newWorld(t), newWorld(t)
	typed.host.sh(strings.Join(typed.plan(t, m), "\n"))
	done.up(t, m)
	left := slices.DeleteFunc(typed.plan(t, m), func(l string) bool { return strings.Contains(l, "tables ") || strings.Contains(l, "ipset ") })
	if len(left) > 0 {
		t.Errorf("after the commands were typed Up would still do %q", left)
	}
	peers := func(s string) string { // veth addresses are random
		return strings.Join(strings.Fields(s), " ")
	}
	got, want := stable(typed.snapshot(t)), stable(done.snapshot(t))
	equal(t, "host", peers(got), peers(want))
	equal(t, "switches", typed.switches("tap_bara"), done.switches("tap_bara"))
}

// stable leaves out what holds the veth's random address.
func stable(s string) string {
	var keep []string
	for l := range strings.Lines(s) {
		if !strings.Contains(l, "link/ether") && !strings.Contains(l, "fe80::") || strings.Contains(l, "fe:ff:") {
			keep = append(keep, l)
		}
	}
	return strings.Join(keep, "")
}

func TestUpTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.32/29", "2001:db8:1::/64", "2001:db8:2::/56")
	w.up(t, m)
	if again := w.plan(t, m); again != nil {
		t.Errorf("a second Up would do %q", again)
	}
	time.Sleep(1100 * time.Millisecond) // the kernel tells of a link's state once a second
	var err error
	out := monitor(t, w.host, func() { err = up(context.Background(), m, host()) })
	if err != nil || out != "" {
		t.Errorf("second Up: %v, heard:\n%s", err, out)
	}
	out = monitor(t, w.host, func() { err = Release(m, host()) })
	if err != nil || !strings.Contains(out, "192.0.2.20") {
		t.Errorf("the monitor hears nothing: %v\n%s", err, out)
	}
}

// A run that ends after any step is made good by the next.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	m := machine("192.0.2.20/32", "192.0.2.32/31", "2001:db8:1::/64", "2001:db8:2::/56")
	type decide = func(*look) ([]Step, error)
	partly := func(t *testing.T, w world, d decide, n int) (all int) {
		t.Helper()
		w.in(t, "part of the steps", func() error {
			l, err := lookAt(m, host())
			if err != nil {
				return err
			}
			defer l.Close()
			steps, err := d(l)
			if err != nil {
				return err
			}
			all = len(steps)
			return l.run(context.Background(), steps[:min(n, all)])
		})
		return all
	}
	down := func() error { return Down(m, host()) }
	back := map[string]decide{"up": (*look).up, "release": (*look).release, "down": (*look).down}
	for name, d := range back {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			empty := w.snapshot(t)
			w.up(t, m)
			var whole string
			eventually(t, "without a carrier", func() (bool, string) { // told once a second
				whole = w.snapshot(t)
				return strings.Contains(whole, "NO-CARRIER"), whole
			})
			switches := w.switches("tap_bara")
			for n, all := 0, 1; n <= all; n++ {
				if name == "up" {
					w.in(t, "Down", down)
				} else {
					w.up(t, m)
				}
				all = partly(t, w, d, n)
				w.up(t, m)
				eventually(t, "as after one run", func() (bool, string) { s := w.snapshot(t); return s == whole, s })
				equal(t, "switches", w.switches("tap_bara"), switches)
				if name == "up" {
					w.in(t, "Down", down)
				}
				partly(t, w, d, n)
				w.in(t, "Release", func() error { return Release(m, host()) })
				if s := w.host.sh("ip route show proto 117; ip -6 route show proto 117; ip neigh show proxy"); s != "" {
					t.Fatalf("after %d steps Release leaves:\n%s", n, s)
				}
				w.in(t, "Down", down)
				equal(t, "host after Down", w.snapshot(t), empty)
			}
		})
	}
}

func TestDownTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot(t)
	m := machine("192.0.2.20/32", "192.0.2.32/29", "2001:db8:1::/64")
	w.up(t, m)
	if w.snapshot(t) == before {
		t.Fatal("Up changed nothing")
	}
	for range 2 {
		w.in(t, "Down", func() error { return Down(m, host()) })
		equal(t, "host", w.snapshot(t), before)
	}
}

// What leaves the settings leaves the host, and nothing else is touched.
func TestSettingsChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.32/29", "2001:db8:1::/64", "2001:db8:2::/56")
	w.up(t, m)
	for _, c := range []struct {
		name   string
		change func()
		want   string
	}{
		{"an address", func() { m.IP4 = m.IP4[1:] }, lines(
			"ip neigh del proxy 192.0.2.20 dev eth0",
			"ip route del 192.0.2.20/32 dev tap_bara proto 117",
			"ipset -exist del uml-own4 192.0.2.20/32")},
		{"block to one of it", func() { m.IP4[0] = netip.MustParsePrefix("192.0.2.36/31") }, lines(
			"ip neigh del proxy 192.0.2.32 dev eth0",
			"ip neigh del proxy 192.0.2.33 dev eth0",
			"ip neigh del proxy 192.0.2.34 dev eth0",
			"ip neigh del proxy 192.0.2.35 dev eth0",
			"ip neigh del proxy 192.0.2.38 dev eth0",
			"ip neigh del proxy 192.0.2.39 dev eth0",
			"ip route del 192.0.2.32/29 dev tap_bara proto 117",
			"ipset -exist del uml-own4 192.0.2.32/29",
			"ip route add 192.0.2.36/31 dev tap_bara proto 117",
			"ipset -exist add uml-own4 192.0.2.36/31")},
		{"further prefix", func() { m.IP6 = m.IP6[:1] }, lines(
			"ip -6 route del 2001:db8:2::/56 via 2001:db8:1::2 dev tap_bara proto 117",
			"ipset -exist del uml-own6 2001:db8:2::/56")},
		{"another /64", func() { m.IP6[0] = netip.MustParsePrefix("2001:db8:1:7::/64") }, lines(
			"ip -6 route del 2001:db8:1::/64 dev tap_bara proto 117",
			"ip -6 addr del 2001:db8:1::1/64 dev tap_bara",
			"ipset -exist del uml-own6 2001:db8:1::/64",
			"ip -6 addr replace 2001:db8:1:7::1/64 dev tap_bara nodad noprefixroute",
			"ip -6 route add 2001:db8:1:7::/64 dev tap_bara proto 117",
			"ipset -exist add uml-own6 2001:db8:1:7::/64")},
		{"ip6", func() { m.IP6 = nil }, lines(
			"ip -6 route del 2001:db8:1:7::/64 dev tap_bara proto 117",
			"ip -6 addr del 2001:db8:1:7::1/64 dev tap_bara",
			"ipset -exist del uml-own6 2001:db8:1:7::/64",
			"sysctl -w net.ipv6.conf.tap_bara.disable_ipv6=1")},
		{"net", func() { m.Net.Kind = settings.None }, lines(
			"ip neigh del proxy 192.0.2.36 dev eth0",
			"ip neigh del proxy 192.0.2.37 dev eth0",
			"ip link del dev tap_bara",
			"ipset -exist del uml-own4 192.0.2.36/31")},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change()
			equal(t, "plan", lines(w.plan(t, m)...), c.want)
			w.up(t, m)
			if again := w.plan(t, m); again != nil {
				t.Errorf("after Up it would still do %q", again)
			}
		})
	}
}

// A start gives up all claims before it asks whether the new addresses are free: what it then
// does not claim again is known as a guest's no more.
func TestStartWithOtherAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.21/32", "2001:db8:1::/64")
	w.up(t, m)
	m.IP4, m.IP6 = m.IP4[1:], []netip.Prefix{netip.MustParsePrefix("2001:db8:2::/64")}
	w.in(t, "release", func() error { return Release(m, host()) })
	w.up(t, m)
	if left := w.collect(t, host(), Owner{Machine: m}); left != "" {
		t.Errorf("left for gc:\n%s", left)
	}
}

// publish none leaves the addresses to a routing daemon, and takes back what an
// earlier setting published.
func TestPublishNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	w.in(t, "Up", func() error { return up(context.Background(), m, &settings.Host{}) })
	if s := w.host.sh("ip neigh show proxy"); s != "" {
		t.Errorf("still published: %s", s)
	}
	if s := w.host.sh("ip route show proto 117"); !strings.Contains(s, "192.0.2.20") {
		t.Errorf("route is gone: %q", s)
	}
}

// A TAP removed by hand takes the record of what is published with it; an address
// that another machine has since must stay published.
func TestTAPRemovedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.21/32")
	w.up(t, m)
	w.host.sh("ip link del tap_bara; ip tuntap add tap_b mode tap; ip link set tap_b up; ip route add 192.0.2.21/32 dev tap_b")
	w.in(t, "Release", func() error { return Release(m, host()) })
	got := w.host.sh("ip neigh show proxy")
	if strings.Contains(got, "192.0.2.20") || !strings.Contains(got, "192.0.2.21") {
		t.Errorf("published after Release: %q, want only the other machine's 192.0.2.21", got)
	}
}

// A host that lost its default route still lets go of what it published.
func TestReleaseWithoutExternal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	w.host.sh("ip route del default; ip -6 route del default; ip neigh add proxy 192.0.2.99 dev eth0")
	w.in(t, "Release", func() error { return Release(m, host()) })
	if got := w.host.sh("ip neigh show proxy"); strings.Contains(got, "192.0.2.20") || !strings.Contains(got, "192.0.2.99") {
		t.Errorf("published after Release: %q, want only 192.0.2.99", got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var err error
	w.host.do(func() { err = up(ctx, machine("192.0.2.20/32"), host()) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
	equal(t, "host", w.snapshot(t), before)
}
