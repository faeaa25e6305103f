package netsetup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"

	"uml/fault"
	"uml/guard"
	"uml/settings"
)

// What --dry-run prints of a bridged machine's first start, in the order in which
// it is done: the filter stands before the TAP is in its group and knows it before it
// is a port, and all is before it is up.
func TestBridgedPlan(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	m := bridged("bara", 1001, 20, "2001:db8::/64")
	before := w.whole(t)
	got := w.plan(t, m)
	equal(t, "host after Plan", w.whole(t), before)
	want := lines(
		"nft table bridge uml: make its sets, chains and rules (it is not there)",
		"ip tuntap add dev tap_bara mode tap user 1001",
		`ip link set dev tap_bara alias "uml /machines/bara"`,
		"ip link set dev tap_bara group 118",
		"ip link property add dev tap_bara altname "+machineName(m),
		"ip link property add dev tap_bara altname uml-uid-1001",
		`nft '`+strings.Join([]string{
			`add element bridge uml guests { "tap_bara" comment "addresses 3c2f" }`,
			`add element bridge uml speaks { "tap_bara" . fe:fd:c0:00:02:14 . ip, "tap_bara" . fe:fd:c0:00:02:14 . arp, "tap_bara" . fe:fd:c0:00:02:14 . ip6 }`,
			`add element bridge uml ip4 { "tap_bara" . 192.0.2.20 }`,
			`add element bridge uml ip6 { "tap_bara" . 2001:db8::fcfd:c0ff:fe00:214, "tap_bara" . fe80::fcfd:c0ff:fe00:214 }`,
		}, "; ")+`'`,
		"sysctl -w net.ipv4.conf.tap_bara.forwarding=0",
		"sysctl -w net.ipv4.conf.tap_bara.proxy_arp=0",
		"sysctl -w net.ipv4.conf.tap_bara.rp_filter=1",
		"sysctl -w net.ipv4.conf.tap_bara.accept_redirects=0",
		"sysctl -w net.ipv6.conf.tap_bara.disable_ipv6=1",
		"ip link set dev tap_bara address "+m.HostMAC().String(),
		"ip link set dev tap_bara mtu 9000",
		"ip link set dev tap_bara master br0",
		"ip link set dev tap_bara type bridge_slave hairpin off guard on root_block on learning off flood off mcast_flood on bcast_flood on isolated off group_fwd_mask 0xfffd",
		"bridge fdb replace fe:fd:c0:00:02:14 dev tap_bara master static",
		"ip link set dev tap_bara up",
	)
	_, hash, _ := strings.Cut(lines(got...), `"addresses `)
	hash, _, _ = strings.Cut(hash, `"`)
	equal(t, "plan", lines(got...), strings.Replace(want, "3c2f", hash, 1))
}

// whole is all that a bridged machine has; what the filter has of it too.
func (w world) whole(t *testing.T) string {
	t.Helper()
	s := timers.ReplaceAllString(w.host.sh(`ip -d addr | sed -E 's/^[0-9]+: //; s/(gso|tso|gro)_.*//' | grep -v fe80:
		bridge fdb show br br0 | grep static | sort; ip route show proto 117`), "")
	w.in(t, "filter", func() error {
		f, err := guard.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		why, err := f.Amiss()
		if err != nil {
			return err
		}
		known, altered, err := f.Known()
		s += fmt.Sprintf("amiss %q, knows %q, altered %q\n", why, slices.Sorted(maps.Keys(known)), altered)
		return err
	})
	return s
}

var timers = regexp.MustCompile(`[a-z_]*timer +[0-9.]+`)

// A run of up, release or down that ends after any step is made good by the next,
// also one that makes of a bridged machine a routed one, or back.
func TestBridgedInterrupted(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	w.host.sh("ip route add default via 192.0.2.254")
	bridge := bridged("bara", 1001, 20, "2001:db8::/64")
	route := bridged("bara", 1001, 20, "2001:db8:1::/64")
	route.Net = settings.Net{Kind: settings.Routed}
	free := *bridge
	free.Spoof, free.Isolated = true, true
	h := &settings.Host{Dir: "/etc/uml-run"}
	up := func(m *settings.Machine) {
		t.Helper()
		w.in(t, "Up", func() error { _, err := Up(context.Background(), m, h); return err })
	}
	for _, c := range []struct {
		name     string
		from, to *settings.Machine
		every    int // of which steps the end is tried
		decide   func(*look) ([]Step, error)
	}{
		{"up", nil, bridge, 1, (*look).up},
		{"release", bridge, bridge, 1, (*look).release},
		{"down", bridge, bridge, 1, (*look).down},
		{"to routed", bridge, route, 3, (*look).up},
		{"from routed", route, bridge, 3, (*look).up},
		{"to free", bridge, &free, 2, (*look).up},
		{"from free", &free, bridge, 2, (*look).up},
	} {
		down := func() {
			w.in(t, "Down", func() error { return Down(bridge, h) })
		}
		begin := func() {
			t.Helper()
			down()
			if c.from != nil {
				up(c.from)
			}
		}
		down()
		up(c.to)
		want := w.whole(t)
		for n, all := 0, 1; n <= all; n += c.every {
			begin()
			w.in(t, "part of the steps", func() error {
				l, err := lookAt(c.to, h)
				if err != nil {
					return err
				}
				defer l.Close()
				steps, err := c.decide(l)
				if err != nil {
					return err
				}
				all = len(steps)
				return l.run(context.Background(), steps[:min(n, all)])
			})
			up(c.to)
			equal(t, fmt.Sprintf("%s: host after %d steps and up", c.name, n), w.whole(t), want)
		}
		w.in(t, "Plan", func() error {
			again, err := Plan(c.to, h)
			if len(again) > 0 {
				t.Errorf("%s: again up would do %q", c.name, again)
			}
			return err
		})
	}
}

// What leaves the settings leaves the filter and the port, and only that changes.
func TestBridgedSettingsChange(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	w.host.sh("ip link add br1 type bridge; ip link set br1 up")
	m := bridged("bara", 1001, 20, "2001:db8::/64")
	w.up(t, m)
	for _, c := range []struct {
		name   string
		change func()
		want   string
	}{
		{"an address", func() { m.IP4 = bridged("x", 1, 30, "::/64").IP4 },
			`nft 'delete element bridge uml guests { "tap_bara" }; delete element bridge uml ip4 { "tap_bara" . 192.0.2.20 }; add element bridge uml guests { "tap_bara" comment "C" }; add element bridge uml ip4 { "tap_bara" . 192.0.2.30 }'`},
		{"all of IPv6", func() { m.IP6 = nil },
			`nft 'delete element bridge uml guests { "tap_bara" }; delete element bridge uml speaks { "tap_bara" . fe:fd:c0:00:02:14 . ip6 }; delete element bridge uml ip6 { "tap_bara" . 2001:db8::fcfd:c0ff:fe00:214, "tap_bara" . fe80::fcfd:c0ff:fe00:214 }; add element bridge uml guests { "tap_bara" comment "C" }'`},
		{"isolated", func() { m.Isolated = true }, "ip link set dev tap_bara type bridge_slave isolated on"},
		{"the bridge", func() { m.Net.Bridge = "br1" }, lines("ip link set dev tap_bara down", "ip link set dev tap_bara mtu 1500", "ip link set dev tap_bara master br1",
			"ip link set dev tap_bara type bridge_slave hairpin off guard on root_block on learning off flood off mcast_flood on bcast_flood on isolated on group_fwd_mask 0xfffd",
			"bridge fdb replace fe:fd:c0:00:02:14 dev tap_bara master static", "ip link set dev tap_bara up")},
		{"the TAP's name", func() { m.TAP = "tap_new" }, `nft delete element bridge uml guests { "tap_bara" }, and all others of tap_bara`},
		{"net", func() { m.Net = settings.Net{} }, lines(`nft delete element bridge uml guests { "tap_new" }, and all others of tap_new`, "ip link del dev tap_new")},
	} {
		c.change()
		got := lines(w.plan(t, m)...)
		if i := strings.Index(got, `comment "`); i >= 0 {
			rest := got[i+len(`comment "`):]
			got = got[:i] + `comment "C` + rest[strings.Index(rest, `"`):]
		}
		if c.name == "the TAP's name" {
			got = strings.SplitN(got, "\n", 2)[0]
		}
		equal(t, "plan after a change of "+c.name, got, c.want)
		w.up(t, m)
		if again := w.plan(t, m); again != nil {
			t.Errorf("after a change of %s and Up it would still do %q", c.name, again)
		}
	}
	if got := w.whole(t); !strings.HasSuffix(got, "knows [], altered []\n") {
		t.Errorf("at the end:\n%s", got)
	}
}

// The administrator's bridge stays as it is, whatever its guests' ports are.
func TestBridgeUntouched(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	look := func() string {
		return timers.ReplaceAllString(w.host.sh("ip -d link show br0 | sed -E 's/(gso|tso|gro)_.*//'; ip addr show br0; ip -d link show eth0 | grep bridge_slave"), "")
	}
	before := look()
	m := bridged("bara", 1001, 20, "2001:db8::/64")
	w.up(t, m)
	equal(t, "bridge", look(), before)
	w.in(t, "Down", func() error { return Down(m, host()) })
	equal(t, "bridge", look(), before)
}

func TestBridgedRefused(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	w.up(t, bridged("other", 1002, 21, "2001:db8::/64"))
	for _, c := range []struct {
		name   string
		change func(*settings.Machine)
		code   int
		want   string
	}{
		{"no bridge", func(m *settings.Machine) { m.Net.Bridge = "br7" }, fault.MayPass,
			"bridge br7: there is no such interface (try: ip link add br7 type bridge; or mend settings/net)"},
		{"an interface that is none", func(m *settings.Machine) { m.Net.Bridge = "eth0" }, fault.MustMend,
			"eth0 is an interface of kind veth, no bridge (mend settings/net)"},
		{"another's hardware address", func(m *settings.Machine) { m.MAC[5] = 21 }, fault.MustMend,
			"fe:fd:c0:00:02:15 is the hardware address of tap_other, the TAP of machine /machines/other (choose another in settings/mac)"},
		{"the host's hardware address", func(m *settings.Machine) { m.MAC = w.macOf(t, w.host, "br0") }, fault.MustMend, "is the host's own hardware address, of br0"},
	} {
		m := bridged("bara", 1001, 20, "2001:db8::/64")
		c.change(m)
		before := w.whole(t)
		w.host.do(func() {
			_, err := Up(context.Background(), m, host())
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.Code(err) != c.code {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		})
		equal(t, "host after "+c.name, w.whole(t), before)
	}
}

// The host's own address, and one that leads to a routed guest, are no bridged
// guest's.
func TestBridgedForeign(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	w.host.sh("ip addr add 192.0.2.20/32 dev lo; ip -6 addr add 2001:db8::fcfd:c0ff:fe00:214/64 dev br0 nodad")
	w.host.do(func() {
		err := Foreign(bridged("bara", 1001, 20, "2001:db8::/64"), host())
		for _, want := range []string{"192.0.2.20 is the host's own address on lo", "2001:db8::fcfd:c0ff:fe00:214 is the host's own address on br0"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Foreign: %v, want %s", err, want)
			}
		}
	})
}

// gc takes away what a machine that is gone had, and elements of no TAP at all.
func TestBridgedGarbage(t *testing.T) {
	t.Parallel()
	w := newBridge(t)
	m, byHand := bridged("bara", 1001, 20, "2001:db8::/64"), bridged("other", 1002, 21, "2001:db8::/64")
	w.up(t, m)
	w.up(t, byHand)
	w.host.sh("ip link del tap_other")
	whole := w.whole(t)
	w.in(t, "flush", func() error {
		c, err := nftables.New()
		c.FlushRuleset()
		return errors.Join(err, c.Flush())
	})
	if did := w.collect(t, host(), Owner{Machine: m}); !strings.Contains(did, "make its sets, chains and rules (it is not there)") || !strings.Contains(did, `"tap_bara" . 192.0.2.20`) {
		t.Errorf("after a flush gc did\n%s", did)
	}
	equal(t, "host after a flush and gc", w.whole(t), strings.Replace(strings.Replace(whole, ` "tap_other"`, "", 1), `altered ["tap_other"]`, "altered []", 1))
	w.up(t, byHand)
	w.host.sh("ip link del tap_other")
	if did := w.collect(t, host(), Owner{Machine: m}); !strings.Contains(did, "tap_other") || strings.Contains(did, "tap_bara") {
		t.Errorf("gc did\n%s", did)
	}
	w.collect(t, host())
	if got := w.whole(t); strings.Contains(got, "tap_") || !strings.Contains(got, "knows []") {
		t.Errorf("after gc:\n%s", got)
	}
}
