package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/check"
	"uml/test/lab"
)

// times is how many times the host's RAM guests of so many MB are together.
func times(t *testing.T, mb int) string {
	t.Helper()
	var host unix.Sysinfo_t
	if err := unix.Sysinfo(&host); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%.6f", float64(mb<<20)/float64(host.Totalram*uint64(host.Unit)))
}

// A start that would promise more RAM than there is is refused or warned of, and what a
// guest was promised is free again when it ends, whatever ended it.
func TestOvercommit(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("overcommit", times(t, 2*76+50))
	first := l.Machine("first", lab.Settings{"ip4": address})
	second := l.Machine("second", lab.Settings{"ip4": "192.0.2.21"})
	third := l.Machine("third", lab.Settings{"ip4": "192.0.2.22"})
	first.Activate()
	second.Activate()
	pid := first.WaitUp(0)
	second.WaitUp(0)
	refused(t, third.Run("uml-run"), 100, "152M of RAM are promised to 2 guests that run, and with 76M more it would be over ")
	refused(t, third.Run("uml-run"), 100, "(lower settings/mem, or end guests)")
	claimsOnly(t, l, first, second)
	all := lines(t, l, 100, "third")
	has(t, all, "memory", check.Fail, "152M of RAM are promised to 2 guests")
	has(t, lines(t, l, 0, "first"), "memory", check.OK, "76M of RAM: mem 64M and 12M for the kernel")
	has(t, lines(t, l, 100), "memory", check.Warn, "228M promised to 3 machines (mem and 12M each), of ")

	third.Set("mem", "1G")
	refused(t, third.Run("uml-run"), 100, "the guest's 1036M of RAM, with its kernel's, are more than 20")
	third.Unset("mem")

	// With a warning, and from then on it is promised.
	l.SetHost("overcommit", "warn")
	third.Set("mem", "60000G")
	r := third.Run("uml-run", "--dry-run")
	if r.Code != 0 || !strings.Contains(r.Err, "warning: with this guest 61440164M of RAM are promised to 3 guests, and the host has ") {
		t.Errorf("exit %d, said %s", r.Code, r.Err)
	}
	third.Set("lock", "yes")
	refused(t, third.Run("uml-run"), 100, "settings/lock: the guest's 61440012M of RAM, with its kernel's, are more than the host's ")
	third.Unset("mem")
	third.Unset("lock")

	l.SetHost("overcommit", times(t, 2*76+50))
	first.Svc("-o") // not started again
	l.Kill(pid, syscall.SIGKILL)
	first.WaitDown()
	third.Activate()
	third.WaitUp(0)
	// It may end strays of the killed kernel first, and say so.
	if r := first.Run("uml-run"); r.Code != 100 || !strings.Contains(r.Err, "152M of RAM are promised to 2 guests that run") {
		t.Errorf("exit %d, said %s", r.Code, r.Err)
	}
}

// claimsOnly: nothing is claimed on the network but by these.
func claimsOnly(t *testing.T, l *lab.Lab, machines ...*lab.Machine) {
	t.Helper()
	for _, claim := range openNet(t, l).claims() {
		ok := false
		for _, m := range machines {
			ok = ok || strings.Contains(claim, m.IP4) || strings.Contains(claim, "tap_"+m.Name)
		}
		if !ok {
			t.Errorf("left %s", claim)
		}
	}
}

// A start that fails gives back what it was promised while it still waits to end.
func TestPromiseGivenBack(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("overcommit", times(t, 100))
	l.SetHost("retry-delay", "60")
	first := l.Machine("first", lab.Settings{"ip4": address})
	second := l.Machine("second", lab.Settings{"ip4": "192.0.2.21"})
	l.MustOther("ip", "addr", "add", address+"/32", "dev", "lo") // it is refused
	first.Activate()
	first.WaitLog("fatal: " + address)
	second.Activate()
	second.WaitUp(0)
}
