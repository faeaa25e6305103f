package netsetup

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"uml/firewall"
	"uml/settings"
)

// collect runs gc with these owners, by directory; others are gone.
func (w world) collect(t *testing.T, h *settings.Host, owners ...Owner) (did string) {
	t.Helper()
	return w.collectFor(t, h, func(alias string) Owner {
		for _, o := range owners {
			if o.Machine != nil && Alias(o.Machine) == alias {
				return o
			}
		}
		return Owner{Gone: true}
	})
}

func (w world) collectFor(t *testing.T, h *settings.Host, owner func(alias string) Owner) (did string) {
	t.Helper()
	return w.survey(t, h, owner, (*Survey).Garbage)
}

func (w world) survey(t *testing.T, h *settings.Host, owner func(alias string) Owner, decide func(*Survey) error) (did string) {
	t.Helper()
	w.in(t, "survey", func() error {
		g, err := TakeSurvey(h, owner)
		if err != nil {
			return err
		}
		defer g.Close()
		if err := decide(g); err != nil {
			return err
		}
		did = lines(append(g.Texts(), g.Notes...)...)
		_, _, err = g.Collect(context.Background())
		return err
	})
	return did
}

// What no machine owns goes, and nothing else does.
func TestGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	others := `ip tuntap add dev tap_other mode tap; ip link set dev tap_other alias "somebody's" up
		ip neigh add proxy 192.0.2.99 dev eth0; ip route add 198.51.100.0/24 via 192.0.2.2 proto static
		ip tuntap add dev tap_bare mode tap`
	w.host.sh(others)
	before := w.snapshot(t)
	gone := machine("192.0.2.20/32", "192.0.2.32/30", "2001:db8:1::/64", "2001:db8:2::/56")
	w.up(t, gone)
	want := lines("ip link del dev tap_bara", "ip neigh del proxy 192.0.2.20 dev eth0", "ip neigh del proxy 192.0.2.32 dev eth0", "ip neigh del proxy 192.0.2.33 dev eth0",
		"ip neigh del proxy 192.0.2.34 dev eth0", "ip neigh del proxy 192.0.2.35 dev eth0",
		"ipset -exist del uml-own4 192.0.2.20/32", "ipset -exist del uml-own4 192.0.2.32/30",
		"ipset -exist del uml-own6 2001:db8:1::/64", "ipset -exist del uml-own6 2001:db8:2::/56")
	got := strings.Split(w.collect(t, host()), "\n")
	link := slices.Index(got, "ip link del dev tap_bara")
	slices.Sort(got) // the kernel's lists are in no order
	if link != 5 || lines(got...) != want {
		t.Errorf("gc did\n%s\nand not\n%s", lines(got...), want)
	}
	equal(t, "host", w.snapshot(t), before)
	if again := w.collect(t, host()); again != "" {
		t.Errorf("again gc does\n%s", again)
	}
	// Pieces, as they are left by what was done by hand.
	w.up(t, gone)
	w.host.sh("ip link del dev tap_bara; ip route add 192.0.2.77/32 dev tap_other proto 117")
	if did := w.collect(t, host()); !strings.Contains(did, "ip route del 192.0.2.77/32 dev tap_other proto 117") || strings.Contains(did, "link del") {
		t.Errorf("of pieces gc did\n%s", did)
	}
	equal(t, "host after pieces", w.snapshot(t), before)
}

// A machine that is there keeps all, whether its guest runs or not, and though its
// settings cannot be read.
func TestGarbageOwned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.32/30", "2001:db8:1::/64")
	w.up(t, m)
	for what, o := range map[string]Owner{"down": {Machine: m}, "locked": {Machine: m, Locked: true}} {
		if did := w.collect(t, host(), o); did != "" {
			t.Errorf("of a machine that is %s gc did\n%s", what, did)
		}
	}
	whole := w.snapshot(t)
	w.in(t, "gc", func() error {
		g, err := TakeSurvey(host(), func(string) Owner { return Owner{} })
		if err == nil {
			err = g.Garbage()
		}
		if err == nil {
			_, _, err = g.Collect(context.Background())
			g.Close()
		}
		return err
	})
	equal(t, "host", w.snapshot(t), whole)
	// A guest that runs though its directory is gone is not cut off.
	g := w.guest(t, m.TAP)
	g.sh(paperGuest)
	if did := w.collect(t, host()); !strings.Contains(did, "is in use, though there is no such machine") {
		t.Errorf("gc says %q", did)
	}
	ping(t, w.other, "192.0.2.20")
}

// The kernel forgets what is published when the interface goes down and up: gc gives
// it back to guests that run. Of IPv6 nothing stays published for a guest that
// does not.
func TestGarbagePutsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.sh("ip -6 addr add 2001:db8:500::1/40 dev eth0 nodad")
	w.other.sh("ip -6 addr add 2001:db8:500::2/40 dev eth0 nodad")
	m := machine("192.0.2.20/32", "2001:db8:501:1::/64")
	w.up(t, m)
	whole := w.snapshot(t)
	flap := "ip link set eth0 down; ip link set eth0 up; ip -6 addr replace 2001:db8::1/64 dev eth0 nodad; ip addr replace 2001:db8:500::1/40 dev eth0 nodad; ip route replace default via 192.0.2.254; ip -6 route replace default via 2001:db8::2"
	w.host.sh(flap)
	if left := w.host.sh("ip neigh show proxy"); left != "" {
		t.Fatalf("the kernel kept %s", left)
	}
	if did := w.collect(t, host(), Owner{Machine: m}); did != "" {
		t.Errorf("for a guest that is down gc did\n%s", did)
	}
	if did := w.collect(t, host(), Owner{Machine: m, Locked: true}); did != "" {
		t.Errorf("for a start that has asked nobody yet gc did\n%s", did)
	}
	w.host.sh("echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding")
	kernel := openTAP(t, w.host, m.TAP)
	did := w.collect(t, host(), Owner{Machine: m, Locked: true})
	if !strings.HasPrefix(did, "sysctl -w net.ipv4.conf.eth0.forwarding=1\n") || strings.Count(did, "ip neigh replace proxy") != 3 || !strings.Contains(did, "# announce on eth0: 192.0.2.20 2001:db8:501:1::2") {
		t.Errorf("for a guest that runs gc did\n%s", did)
	}
	kernel.Close()
	eventually(t, "without carrier", func() (bool, string) { now := w.snapshot(t); return now == whole, now })
	did = w.collect(t, host(), Owner{Machine: m})
	if strings.Count(did, "\n") != 1 || !strings.Contains(did, "ip neigh del proxy 2001:db8:501:1::2 dev eth0") {
		t.Errorf("for a guest that has ended gc did\n%s", did)
	}
	// What was published on an interface that is external no more goes, and comes.
	w.host.sh("ip link add eth1 type veth peer name peer1; ip link set eth1 up; ip link set peer1 up")
	kernel = openTAP(t, w.host, m.TAP)
	defer kernel.Close()
	did = w.collect(t, &settings.Host{External: "eth1", Publish: true}, Owner{Machine: m, Locked: true})
	if !strings.Contains(did, "ip neigh del proxy 192.0.2.20 dev eth0") || !strings.Contains(did, "ip neigh replace proxy 192.0.2.20 dev eth1") {
		t.Errorf("with another external interface gc did\n%s", did)
	}
}

// Between its look and its work gc holds no lock: what has changed meanwhile counts.
func TestGarbageMeanwhile(t *testing.T) {
	t.Parallel()
	m := machine("192.0.2.20/32", "2001:db8:501:1::/64")
	flap := func(w world) {
		w.host.sh("ip link set eth0 down; ip link set eth0 up; ip -6 addr replace 2001:db8:500::1/40 dev eth0 nodad; ip route replace default via 192.0.2.254")
	}
	there, gone := Owner{Machine: m, Locked: true}, Owner{Gone: true}
	for _, c := range []struct {
		name      string
		before    func(*testing.T, world)
		at, later Owner // at the look, and at the work
		meanwhile func(*testing.T, world) error
		left      string // TAPs and published addresses
	}{
		{"the guest ends, and its network goes", func(t *testing.T, w world) { flap(w) }, there, there,
			func(*testing.T, world) error { return Down(m, host()) }, ""},
		{"a start takes its claims back and makes them again", func(*testing.T, world) {}, Owner{Machine: m}, there,
			func(*testing.T, world) error {
				return errors.Join(Release(m, host()), up(context.Background(), m, host()))
			},
			"192.0.2.20 2001:db8:501:1::2 2001:db8:501:1:fcfd:c0ff:fe00:214 tap_bara"},
		{"a directory comes back", func(*testing.T, world) {}, gone, there,
			func(*testing.T, world) error { return nil }, "192.0.2.20 2001:db8:501:1::2 2001:db8:501:1:fcfd:c0ff:fe00:214 tap_bara"},
		{"a guest opens a TAP of a machine that is gone", func(*testing.T, world) {}, gone, gone,
			func(t *testing.T, w world) error { w.guest(t, m.TAP); return nil }, "192.0.2.20 2001:db8:501:1::2 2001:db8:501:1:fcfd:c0ff:fe00:214 tap_bara"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.host.sh("ip -6 addr add 2001:db8:500::1/40 dev eth0 nodad")
			w.up(t, m)
			if c.at.Locked {
				kernel := openTAP(t, w.host, m.TAP)
				defer kernel.Close()
			}
			c.before(t, w)
			is := c.at
			var g *Survey
			w.in(t, "look", func() (err error) { g, err = TakeSurvey(host(), func(string) Owner { return is }); return err })
			w.in(t, "decide", func() error { return g.Garbage() })
			defer g.Close()
			is = c.later
			w.in(t, "meanwhile", func() error { return c.meanwhile(t, w) })
			w.in(t, "gc", func() error {
				_, news, err := g.Collect(context.Background())
				if len(news.Addresses) > 0 {
					t.Errorf("announced are %v", news.Addresses)
				}
				return err
			})
			got := w.host.sh("ip neigh show proxy | cut -d' ' -f1 | sort; ip -o link show type tun | cut -d: -f2")
			if got := strings.Join(strings.Fields(got), " "); got != c.left {
				t.Errorf("there is %q, want %q", got, c.left)
			}
		})
	}
}

// A kernel that boots has only the beacon open. Its machine's directory cannot be
// seen for a moment: nothing of it is taken.
func TestGarbageBooting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "2001:db8:1::/64")
	w.up(t, m)
	w.in(t, "Hold", func() error {
		f, _, err := Hold(m, host())
		if err == nil {
			t.Cleanup(func() { f.Close() })
		}
		return err
	})
	whole := w.snapshot(t)
	if did := w.collect(t, host()); strings.Contains(did, "del") || strings.Count(did, "is in use, though there is no such machine") != 2 {
		t.Errorf("gc did\n%s", did)
	}
	equal(t, "host", w.snapshot(t), whole)
}

// Of two machines the one with the longer prefix owns an address. A default route
// through a tunnel makes that no external interface.
func TestGarbageWhose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, m := numbered(7), machine("192.0.2.33/32")
	old.IP4, old.IP6 = []netip.Prefix{netip.MustParsePrefix("192.0.2.32/29")}, nil
	w.up(t, old)
	w.up(t, m)
	kernel := openTAP(t, w.host, m.TAP)
	defer kernel.Close()
	for range 10 {
		w.in(t, "look", func() error {
			g, err := TakeSurvey(host(), func(alias string) Owner {
				if alias == Alias(m) {
					return Owner{Machine: m, Locked: true}
				}
				return Owner{Gone: true}
			})
			if err != nil {
				return err
			}
			defer g.Close()
			if err := g.Garbage(); err != nil {
				return err
			}
			if text := lines(g.Texts()...); strings.Contains(text, "192.0.2.33") || !strings.Contains(text, "192.0.2.32") {
				t.Errorf("gc would do\n%s", text)
			}
			return nil
		})
	}
	w.host.sh("ip tuntap add vpn0 mode tun; ip link set vpn0 up; ip route add 0.0.0.0/1 dev vpn0; ip route add 128.0.0.0/1 dev vpn0")
	if did := w.collect(t, host(), Owner{Machine: m, Locked: true}, Owner{Machine: old}); did != "" {
		t.Errorf("beside a tunnel gc did\n%s", did)
	}
}

// The sets of the firewall hold what is routed to guests, and nothing else.
func TestGarbageOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "2001:db8:1::/64")
	w.up(t, m)
	kernel := openTAP(t, w.host, m.TAP)
	defer kernel.Close()
	stale, lost := netip.MustParsePrefix("192.0.2.99/32"), m.IP6[0]
	w.in(t, "change the sets", func() error { return errors.Join(firewall.Own(stale), firewall.Disown(lost)) })
	did := w.collect(t, host(), Owner{Machine: m})
	equal(t, "what gc did", did, lines("ipset -exist del uml-own4 192.0.2.99/32", "ipset -exist add uml-own6 2001:db8:1::/64"))
	if again := w.collect(t, host(), Owner{Machine: m}); again != "" {
		t.Errorf("again gc does\n%s", again)
	}
}
