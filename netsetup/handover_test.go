package netsetup

import (
	"os"
	"strings"
	"testing"

	"uml/fault"
	"uml/settings"
)

// handOver is what a start does, from where the host's network is.
func handOver(s *space, m *settings.Machine) (tun *os.File, err error) {
	s.do(func() {
		if tun, err = OpenTUN(); err == nil {
			err = Attach(tun, m)
		}
	})
	return tun, err
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	carrier := func() bool { return strings.Contains(w.host.sh("ip link show tap_bara"), "LOWER_UP") }
	tun, err := handOver(w.host, m)
	if err != nil || !carrier() {
		t.Fatalf("got %v, carrier %v", err, carrier())
	}
	second, err := handOver(w.host, m)
	if err == nil || fault.Code(err) != fault.MayPass || !strings.Contains(err.Error(), "tap_bara: a process has it open") {
		t.Errorf("a TAP that is open: got %v", err)
	}
	second.Close()
	tun.Close()
	if carrier() {
		t.Error("the carrier stays when the descriptor is closed")
	}
}

// A TAP that is not there, or that somebody made in its place, is not handed over;
// none is made.
func TestHandOverOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	for name, prepare := range map[string]string{
		"none":      ":",
		"of others": "ip tuntap add tap_bara mode tap user 1002",
	} {
		w.host.sh(prepare)
		before := w.host.sh("ip link")
		tun, err := handOver(w.host, m)
		if err == nil || fault.Code(err) != fault.MayPass || !strings.Contains(err.Error(), "tap_bara: is not as it was made") {
			t.Errorf("%s: got %v", name, err)
		}
		tun.Close()
		if after := w.host.sh("ip link"); after != before {
			t.Errorf("%s: before\n%safter\n%s", name, before, after)
		}
		w.host.sh("ip link del tap_bara 2>/dev/null || :")
	}
}
