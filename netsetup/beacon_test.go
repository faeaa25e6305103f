package netsetup

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

func (w world) hold(m *settings.Machine) (f *os.File, err error) {
	w.host.do(func() { f, _, err = Hold(m, host()) })
	return f, err
}

// lit is a beacon that shines.
func (w world) lit(t *testing.T, m *settings.Machine) *os.File {
	t.Helper()
	f, err := w.hold(m)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// From the claim to the end of the kernel another host hears that the addresses
// are taken, whether the guest has opened its TAP or not; and nothing is left.
func TestBeacon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.32/31", "2001:db8:1::/64")
	before := w.host.sh("ip route; ip -6 route")
	w.up(t, m)
	answers := func(a string) bool {
		out, _ := w.other.try("ip neigh flush all; ping -c1 -W1 " + a + " >/dev/null 2>&1 || :; ip neigh show " + a)
		return strings.Contains(out, "lladdr")
	}
	if answers("192.0.2.20") {
		t.Fatal("answered for while nobody has the TAP open")
	}
	f := w.lit(t, m)
	for _, a := range []string{"192.0.2.20", "192.0.2.33"} {
		if !answers(a) {
			t.Errorf("%s: not answered for before the guest has booted", a)
		}
	}
	if out := w.host.sh("ip route get 192.0.2.20"); !strings.Contains(out, "dev live_3e9") {
		t.Errorf("before the guest has its TAP open: %s", out)
	}
	other := machine("192.0.2.20/32")
	other.Real, other.TAP, other.User.UID = "/machines/other", "tap_other", 1002
	var err error
	w.host.do(func() { err = Foreign(other, host()) })
	if err == nil || !strings.Contains(err.Error(), "routed to live_3e9, the beacon of machine /machines/bara") {
		t.Errorf("another machine with the address: %v", err)
	}
	tap := openTAP(t, w.host, "tap_bara")
	// A route hears of a carrier up to a second late, and of its loss.
	eventually(t, "sent to the TAP", func() (bool, string) {
		got := w.host.sh("ip route get 192.0.2.20")
		return strings.Contains(got, "dev tap_bara"), got
	})
	if left := w.plan(t, m); left != nil {
		t.Errorf("beside its beacon Up would still do %q", left)
	}
	w.host.do(func() { err = Foreign(m, host()) })
	if err != nil {
		t.Errorf("its own beacon: %v", err)
	}
	tap.Close()
	second, err := w.hold(m)
	if second != nil || fault.Code(err) != fault.MayPass || !strings.Contains(err.Error(), "live_3e9: is there already") {
		t.Errorf("a second beacon: %v", err)
	}
	f.Close()
	eventually(t, "silent when the kernel has ended", func() (bool, string) { return !answers("192.0.2.20"), "" })
	w.host.do(func() { err = Down(m, host()) })
	if after := w.host.sh("ip route; ip -6 route"); err != nil || after != before {
		t.Errorf("%v, before\n%safter\n%s", err, before, after)
	}
}

// What is written to the beacon goes nowhere.
func TestBeaconIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	f := w.lit(t, m)
	defer f.Close()
	for _, want := range []string{"ipv4/conf/live_3e9/forwarding=0", "ipv4/conf/live_3e9/rp_filter=1", "ipv6/conf/live_3e9/disable_ipv6=1"} {
		name, value, _ := strings.Cut(want, "=")
		if got := strings.TrimSpace(w.host.sh("cat /proc/sys/net/" + name)); got != value {
			t.Errorf("%s is %s, want %s", name, got, value)
		}
	}
}

func TestNoBeacon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quiet := *host()
	quiet.Publish = false
	for name, f := range map[string]func() (*os.File, News, error){
		"IPv6 only":     func() (*os.File, News, error) { return Hold(machine("2001:db8:1::/64"), host()) },
		"no publishing": func() (*os.File, News, error) { return Hold(machine("192.0.2.20/32"), &quiet) },
	} {
		w.host.do(func() {
			if got, _, err := f(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		})
	}
	if out := w.host.sh("ip link"); strings.Contains(out, "live_") {
		t.Error(out)
	}
}

// One that was made to outlive its descriptors claims nothing, and is taken away.
func TestBeaconPersists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	f := w.lit(t, m)
	if _, err := f.Write(make([]byte, 60)); !errors.Is(err, unix.EBADF) {
		t.Errorf("writing to the beacon: %v", err)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	eventually(t, "of no effect", func() (bool, string) {
		got, _ := w.host.try("ip route get 192.0.2.20")
		return !strings.Contains(got, "live_3e9"), got
	})
	w.in(t, "Release", func() error { return Release(m, host()) })
	w.up(t, m)
	w.lit(t, m).Close()
}
