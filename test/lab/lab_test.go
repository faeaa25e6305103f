package lab

import (
	"strings"
	"testing"
)

// The guest needs nothing of ours: a TAP, a route, and its kernel.
func TestGuestByHand(t *testing.T) {
	t.Parallel()
	for _, device := range []string{"vec0:transport=tap,ifname=tap0,mac=fe:fd:c0:00:02:14", "eth0=tuntap,tap0,fe:fd:c0:00:02:14"} {
		t.Run(device[:4], func(t *testing.T) {
			t.Parallel()
			l := New(t)
			m := l.Machine("guest", Settings{"ip4": "192.0.2.20"})
			l.Must("sh", "-ec", `
				ip tuntap add tap0 mode tap user guest
				ip link set tap0 up
				ip route add 192.0.2.20 dev tap0
				echo 1 >/proc/sys/net/ipv4/ip_forward
				for i in ext0 tap0; do
					echo 1 >/proc/sys/net/ipv4/conf/$i/proxy_arp
					echo 0 >/proc/sys/net/ipv4/neigh/$i/proxy_delay
				done`)
			guest := l.Cmd(t.Context(), m.Jail, "setpriv", "--reuid=guest", "--regid=guest", "--clear-groups",
				"env", "TMPDIR=/dev/shm", "HOME="+m.Jail, "./linux", "mem=64M", "ubd0d=ubd0", "root=/dev/ubda",
				"con=null", "con0=null,fd:1", "ssl=null", "uml_dir="+m.Jail, device)
			var log strings.Builder
			guest.Stdout, guest.Stderr = &log, &log
			if err := guest.Start(); err != nil {
				t.Fatal(err)
			}
			l.WaitPing("192.0.2.20")
			if got := m.Guest("uname -s; ip -4 -o addr show scope global"); !strings.Contains(got, "192.0.2.20/32") {
				t.Errorf("the guest's shell said %q", got)
			}
			m.Tell("poweroff -f")
			if err := guest.Wait(); err != nil || !strings.Contains(log.String(), "guest up") {
				t.Errorf("the guest ended with %v:\n%s", err, log.String())
			}
		})
	}
}
