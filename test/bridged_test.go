package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// bridge makes the host's external interface a port of br0, as its administrator
// would.
func bridge(l *lab.Lab) {
	l.Must("sh", "-ec", `ip link add br0 type bridge
		ip addr flush dev ext0; ip link set ext0 master br0; ip link set br0 up
		ip addr add `+lab.HostIP4+`/24 dev br0; ip addr add `+lab.HostIP6+`/64 dev br0 nodad
		ip route replace default via `+lab.OtherIP4)
}

// advertise has a real radvd advertise the segment's prefix from the other host.
func advertise(t *testing.T, l *lab.Lab) {
	t.Helper()
	l.MustOther("sh", "-ec", "ip addr add fe80::1/64 dev wan0 nodad; sysctl -qw net.ipv6.conf.all.forwarding=1")
	conf := filepath.Join(l.Dir, "radvd.conf")
	text := "interface wan0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix 2001:db8:ffff::/64 { }; };\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	radvd := l.Cmd(t.Context(), "/", "ip", "netns", "exec", "other", "radvd", "-n", "-m", "stderr", "-u", "root", "-C", conf, "-p", conf+".pid")
	if err := radvd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { radvd.Process.Kill(); radvd.Wait() })
}

// A guest on a bridge reaches the segment and is reached, configures itself for IPv6
// by the segment's router, and can use no address but its own. Its start asks there
// whether its addresses are free, and afterwards nothing of it is left.
func TestBridged(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	bridge(l)
	advertise(t, l)
	before := l.Must("sh", "-c", "ip -o link show | grep -c .")
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:ffff::/64", "net": "bridged br0"})
	own6 := "2001:db8:ffff:0:fcfd:c0ff:fe00:214"
	if plan := l.Must("uml-run", "--dry-run", "guest"); !strings.Contains(plan, "probe  "+own6+" on br0: ") || !strings.Contains(plan, "ip link set dev tap_guest master br0") {
		t.Errorf("dry run:\n%s", plan)
	}

	// Another has an address of the guest.
	l.MustOther("ip", "addr", "add", own6+"/64", "dev", "wan0", "nodad")
	refusedBy(t, "uml-run", m.Run("uml-run"), 111, own6+": answers on br0")
	l.MustOther("ip", "addr", "del", own6+"/64", "dev", "wan0")

	m.Activate()
	m.WaitUp(0)
	l.WaitPing(own6)
	if got := m.Guest("ping -c1 -W9 " + lab.OtherIP4 + "; ping -6 -c1 -W9 " + lab.OtherIP6); strings.Count(got, "1 packets received") != 2 {
		t.Errorf("the guest asks the other host: %s", got)
	}

	dropped := func() (packets int) {
		_, rest, _ := strings.Cut(l.Must("uml-net", "show", "guest"), "\ndropped: ")
		fmt.Sscan(rest, &packets)
		return packets
	}
	was := dropped()
	m.Guest("ip addr add 192.0.2.66/32 dev vec0; ping -c2 -W1 -I 192.0.2.66 " + lab.OtherIP4)
	if l.Ping("192.0.2.66") {
		t.Error("the guest answers for an address that is not its own")
	}
	l.Wait("a forged packet to be counted", func() bool { return dropped() > was })
	check := l.Run("uml-check", "guest")
	for _, want := range []string{"port of br0, held to its own addresses by nft table bridge uml", "addresses", own6} {
		if !strings.Contains(check.Out, want) || strings.Contains(check.Out, "FAIL") {
			t.Errorf("uml-check says nothing of %q, or fails: %d\n%s%s", want, check.Code, check.Out, check.Err)
		}
	}

	m.Svc("-d")
	m.WaitDown()
	nothingRuns(t, l, m)
	l.Must("uml-net", "down", "guest")
	if got := l.Must("sh", "-c", "ip -o link show | grep -c ."); got != before {
		t.Errorf("%s interfaces after down, %s before", got, before)
	}
}

// A bridge that leads to no network has nobody to ask; its guests reach each other.
func TestBridgedAlone(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Must("sh", "-ec", "ip link add br0 type bridge; ip link set br0 up; ip addr add 203.0.113.1/24 dev br0")
	m := l.Machine("guest", lab.Settings{"ip4": "203.0.113.20", "net": "bridged br0"})
	m.Activate()
	m.WaitLog("guest up")
	l.Wait("the guest's answer", func() bool { return l.Run("ping", "-n", "-q", "-c1", "-W1", "203.0.113.20").Code == 0 })
	if log := m.Log(); !strings.Contains(log, "bridge br0 has no port to a network: no other host can have the addresses, none is asked") {
		t.Errorf("the start said\n%s", log)
	}
}

func TestBridgedRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "net": "bridged br0"})
	refusedBy(t, "uml-run", m.Run("uml-run"), 111, "bridge br0: there is no such interface (try: ip link add br0 type bridge; or mend settings/net)")
	m.Set("net", "bridged ext0")
	refusedBy(t, "uml-run", m.Run("uml-run"), 100, "ext0 is an interface of kind veth, no bridge (mend settings/net)")
	bridge(l)
	m.Set("net", "bridged br0")
	l.Must("ip", "link", "set", "br0", "down")
	refusedBy(t, "uml-run", m.Run("uml-run"), 111, "bridge br0 is down: its silence proves nothing (ip link set dev br0 up)")
}
