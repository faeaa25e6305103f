package test

import (
	"fmt"
	"strings"
	"testing"

	"uml/fault"
	"uml/test/lab"
)

// uml-net gc gives a running guest back what the host's network lost, takes away
// what is left of a machine that was removed, and says nothing when nothing is amiss.
func TestCollect(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address})
	m.Activate()
	m.WaitUp(0)
	l.WaitPing(address)
	quiet := func() {
		t.Helper()
		if r := l.Run("uml-net", "gc"); r.Code != 0 || r.Out+r.Err != "" {
			t.Errorf("with nothing amiss gc exits %d, says %s%s", r.Code, r.Out, r.Err)
		}
	}
	quiet()

	l.Must("sh", "-ec", "ip link set ext0 down; ip link set ext0 up; ip route replace default via "+lab.OtherIP4)
	before := l.Must("ip", "neigh", "show", "proxy")
	planned := l.Must("uml-net", "gc", "--dry-run")
	equal(t, l.Must("ip", "neigh", "show", "proxy"), before)
	const back = "ip neigh replace proxy 192.0.2.20 dev ext0 protocol 117\n# announce on ext0: 192.0.2.20\n"
	equal(t, planned, back)
	equal(t, l.Must("uml-net", "gc"), back)
	l.MustOther("ip", "neigh", "flush", "dev", "wan0")
	l.WaitPing(address)
	quiet()

	equal(t, l.Must("uml-net", "show"), fmt.Sprintf("tap_guest of %s: user id %d, up, guest on it\nrouted: 192.0.2.20/32\npublished: 192.0.2.20 on ext0\n", m.Dir, m.UID))

	m.Svc("-d")
	m.WaitDown()
	nothingRuns(t, l, m)
	quiet()
	l.Must("sh", "-ec", `rm "$0"; mv "$1" "$1.removed"`, m.Link(), m.Dir)
	equal(t, l.Must("uml-net", "gc"), "ip neigh del proxy 192.0.2.20 dev ext0\nip link del dev tap_guest\nipset -exist del uml-own4 192.0.2.20/32\n")
	if left := l.Must("sh", "-c", "ip link; ip route; ip neigh show proxy"); strings.Contains(left, "tap_guest") || strings.Contains(left, address) {
		t.Errorf("gc left\n%s", left)
	}
	quiet()
	refusedBy(t, "uml-net", l.Run("uml-net", "gc", "guest"), 100, `"guest": no NAME is wanted`)
}

// A TAP that somebody removes under a running guest comes back, but not for that
// guest: whoever mends it is told.
func TestTAPRemovedUnderGuest(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address})
	m.Activate()
	pid := m.WaitUp(0)
	l.WaitPing(address)
	l.Must("ip", "link", "del", "dev", "tap_guest")
	r := l.Run("uml-net", "up", "guest")
	want := fmt.Sprintf("uml-net: warning: tap_guest was gone and is made anew, but the guest that runs (process %d) cannot open it: it is cut off until it is started again\n", pid)
	if r.Code != 0 || r.Err != want {
		t.Errorf("exit %d, said %s", r.Code, r.Err)
	}
	if r := l.Run("uml-check", "guest"); !strings.Contains(r.Out, "tap_guest") || !strings.Contains(r.Out, "does not have it open") {
		t.Errorf("uml-check says\n%s", r.Out)
	}
	l.Must("ip", "link", "del", "dev", "tap_guest")
	r = l.Run("uml-net", "up", "guest", "--log-format", "json")
	if all := messages(t, r.Err); len(all) != 1 || all[0].ID != string(fault.CutOff) || all[0].Level != "warning" {
		t.Errorf("said %s", r.Err)
	}
	m.Svc("-t")
	m.WaitUp(pid)
	l.WaitPing(address)
}
