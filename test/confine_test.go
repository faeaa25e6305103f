package test

import (
	"testing"

	"uml/test/lab"
)

// A guest whose kernel would be killed for any call that the list lacks networks,
// reboots, panics and halts, with either network driver. All other tests run with
// the default, in which such a call fails.
func TestListIsWhole(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"vector", "tuntap"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := l.Machine("guest", lab.Settings{"ip4": address, "swap": "8M", "con2": "pts", "transport": transport, "seccomp": "kill"})
			m.Activate()
			pid := m.WaitUp(0)
			if got := l.Status(pid)["Seccomp"]; got != "2" {
				t.Errorf("the kernel's Seccomp is %q, want a filter: 2", got)
			}
			m.Guest("swapon /dev/ubdp; dd if=/dev/zero of=/root/x bs=4k count=100; sync; rm /root/x; fstrim /; echo >/dev/tty2")
			for _, end := range []string{"reboot -f", "echo c >/proc/sysrq-trigger"} {
				m.Tell(end)
				pid = m.WaitUp(pid)
			}
			m.Svc("-o")
			m.Tell("halt")
			m.WaitDown()
			nothingRuns(t, l, m)
		})
	}
}
