package test

import (
	"fmt"
	"strings"
	"testing"

	"uml/test/lab"
)

// IPv6: the guest's /64 on the link, and a further prefix by way of its ::2. The
// other host is the router that sends both to the host.
func TestIPv6(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, prefix := range []string{"2001:db8:1::/64", "2001:db8:2::/56"} {
		l.MustOther("ip", "-6", "route", "add", prefix, "via", lab.HostIP6)
	}
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64\n2001:db8:2::/56"})
	m.Activate()
	m.WaitUp(0)
	m.Guest(`
		ip -6 addr add 2001:db8:1::77/64 dev vec0
		ip -6 addr add 2001:db8:2:ff::1/128 dev lo
		ip -6 route add default via 2001:db8:1::1`)
	l.WaitPing("2001:db8:1::2")
	l.WaitPing("2001:db8:1::77")
	l.WaitPing("2001:db8:2:ff::1")
	if got := m.Guest("ping -6 -c1 -W9 " + lab.OtherIP6); !strings.Contains(got, "1 packets received") {
		t.Errorf("the guest asks the other host: %s", got)
	}
}

// A block is routed whole, the first and the last of its addresses too.
func TestBlock(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": "192.0.2.32/29"})
	m.Activate()
	m.WaitUp(0)
	m.Guest("ip addr add 192.0.2.39/32 dev vec0")
	l.WaitPing("192.0.2.39")
}

// The guest may name the host as its gateway, or only the device (as all guests
// of the lab do): paper 4.2.
func TestGateway(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	m.WaitUp(0)
	ask := "ping -c1 -W9 " + lab.OtherIP4
	if got := m.Guest("ip route; " + ask); !strings.Contains(got, "default dev vec0") || !strings.Contains(got, "1 packets received") {
		t.Errorf("by device: %s", got)
	}
	gateway := "ip route add " + lab.HostIP4 + " dev vec0; ip route replace default via " + lab.HostIP4 + " dev vec0; "
	if got := m.Guest(gateway + "ip route; " + ask); !strings.Contains(got, "default via "+lab.HostIP4) || !strings.Contains(got, "1 packets received") {
		t.Errorf("by gateway: %s", got)
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	for transport, device := range map[string]string{"vector": "vec0", "tuntap": "eth0", "auto": "vec0", "fd": "vec0"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := l.Machine("guest", lab.Settings{"ip4": address, "transport": transport})
			m.Activate()
			m.WaitUp(0)
			if got := m.Guest("ls /sys/class/net"); !strings.Contains(got, device) {
				t.Errorf("want %s among %q", device, got)
			}
			stream(t, l, m)
		})
	}
}

// stream: the guest takes 4 MB from the other host. A device that cannot take the
// large frames which it asked its host for gets 30 KB a second.
func stream(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	const size = 4 << 20
	server := l.Cmd(t.Context(), "/", "ip", "netns", "exec", "other", "busybox", "nc", "-ll", "-p", "9", "-e", "head", "-c", fmt.Sprint(size), "/dev/zero")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	l.Wait("4 MB in the guest", func() bool {
		return m.Guest("timeout 30 nc "+lab.OtherIP4+" 9 </dev/null | wc -c") == fmt.Sprintln(size)
	})
}

// Promise 5: after the settings change the next start takes away what is gone and
// adds what is new.
func TestSettingsChange(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address + "\n192.0.2.21", "swap": "8M"})
	m.Activate()
	pid := m.WaitUp(0)
	l.WaitPing("192.0.2.21")
	swapOn(t, m, 8)

	m.Set("ip4", address+"\n192.0.2.22")
	m.Set("swap", "16M")
	m.Svc("-t")
	m.WaitUp(pid)
	equal(t, l.Must("sh", "-c", "{ ip -4 route show proto 117; ip -4 neigh show proxy; } | grep -v ' live_' | cut -d' ' -f-3 | sort"),
		"192.0.2.20 dev ext0\n192.0.2.20 dev tap_guest\n192.0.2.22 dev ext0\n192.0.2.22 dev tap_guest\n")
	if l.Ping("192.0.2.21") {
		t.Error("the old address answers")
	}
	swapOn(t, m, 16)
}

// swapOn: the guest's ubd15 is its swap, of the size that is set.
func swapOn(t *testing.T, m *lab.Machine, mib int) {
	t.Helper()
	got := m.Guest("swapon /dev/ubdp; grep ubdp /proc/swaps")
	if f := strings.Fields(got); len(f) != 5 || f[0] != "/dev/ubdp" || f[2] != fmt.Sprint(mib<<10-4) {
		t.Errorf("want swap of %d MiB, got %q", mib, got)
	}
}

// uml-net gives and takes the same as a start does, and cuts off no guest.
func TestUmlNet(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64"})
	show := func() string {
		r := l.Run("uml-net", "show", "guest")
		if r.Code != 0 || r.Err != "" {
			t.Errorf("show: exit %d, %s", r.Code, r.Err)
		}
		return strings.ReplaceAll(r.Out, fmt.Sprint(m.UID), "UID")
	}
	missing := func() bool { return strings.Contains(show(), "missing: ip tuntap add dev tap_guest") }
	before := l.State()
	if !missing() {
		t.Errorf("at first:\n%s", show())
	}
	l.Run("uml-net", "up", "--dry-run", "guest")
	same(t, before, l.State())

	l.Must("uml-net", "up", "guest")
	const whole = `tap_guest: user id UID, up, no guest on it
routed: 192.0.2.20/32
routed: 2001:db8:1::/64
published: 192.0.2.20 on ext0
`
	equal(t, show(), whole)
	l.Must("uml-net", "up", "guest")
	equal(t, show(), whole)

	m.Activate()
	pid := m.WaitUp(0)
	equal(t, show(), strings.Replace(whole, "no guest on it", "guest on it", 1))
	running := settled(l)
	refusedBy(t, "uml-net", l.Run("uml-net", "down", "guest"), 111, fmt.Sprintf("held by process %d, the guest runs", pid))
	same(t, running, settled(l))

	m.Svc("-d")
	m.WaitDown()
	nothingRuns(t, l, m)
	l.Must("uml-net", "down", "guest")
	if got := l.Must("sh", "-c", "ip link show; ip route show; ip neigh show proxy"); strings.Contains(got, "tap_guest") || strings.Contains(got, address) || !missing() {
		t.Errorf("after down:\n%s%s", got, show())
	}
}
