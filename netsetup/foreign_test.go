package netsetup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"uml/fault"
	"uml/settings"
)

// An interface of the TAP's name that is not the machine's is refused by name and
// kind, and no command touches it.
func TestForeignTAP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, made, want string }{
		{"veth", "ip link add tap_bara type veth peer name peer",
			"tap_bara is an interface of kind veth, not this machine's TAP (choose another name in settings/tap, or: ip link del dev tap_bara)"},
		{"tun", "ip tuntap add tap_bara mode tun user 1001",
			"tap_bara is an interface of kind tun, not this machine's TAP (choose another name in settings/tap, or: ip link del dev tap_bara)"},
		{"other user's", "ip tuntap add tap_bara mode tap user 1002",
			"tap_bara is a TAP of user id 1002, not this machine's TAP (choose another name in settings/tap, or: ip link del dev tap_bara)"},
		{"nobody's", "ip tuntap add tap_bara mode tap",
			"tap_bara is a TAP without owner, not this machine's TAP (choose another name in settings/tap, or: ip link del dev tap_bara)"},
		{"user's, with a group", "ip tuntap add tap_bara mode tap user 1001 group 0",
			"tap_bara is a TAP of user id 1001, not this machine's TAP (choose another name in settings/tap, or: ip link del dev tap_bara)"},
		{"user's, many queues", "ip tuntap add tap_bara mode tap user 1001 multi_queue",
			"tap_bara is a TAP of user id 1001, not this machine's TAP (choose another name in settings/tap, or: ip link del dev tap_bara)"},
		{"other machine's", "ip tuntap add tap_bara mode tap user 1001; ip link set tap_bara alias 'uml /srv/bara'",
			"tap_bara, the TAP of machine /srv/bara: not this machine's (uml-net down it there, or choose another name in settings/tap)"},
		{"with an alias", "ip tuntap add tap_bara mode tap user 1001; ip link set tap_bara alias 'uplink'",
			`tap_bara is a TAP of user id 1001 with the alias "uplink", not this machine's (choose another name in settings/tap)`},
		{"account served", "ip tuntap add tap_x mode tap user 1001; ip link set tap_x alias 'uml /machines/x'; ip link property add dev tap_x altname uml-uid-1001",
			"user bara (id 1001) is served by tap_x, the TAP of machine /machines/x already: two machines never share an account (choose another in settings/user)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.host.sh(c.made)
			before := w.snapshot(t)
			m := machine("192.0.2.20/32")
			for name, f := range map[string]func() error{
				"Up":      func() error { return up(context.Background(), m, host()) },
				"Foreign": func() error { return Foreign(m, host()) },
				"Plan":    func() error { _, err := Plan(m, host()); return err },
			} {
				var err error
				w.host.do(func() { err = f() })
				refusedAs(t, name, err, fault.MustMend, c.want)
			}
			w.in(t, "Release", func() error { return Release(m, host()) })
			w.in(t, "Down", func() error { return Down(m, host()) })
			equal(t, "host", w.snapshot(t), before)
		})
	}
}

func TestForeignAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := machine("192.0.2.70/32", "192.0.2.64/30", "2001:db8:7::/64")
	other.Real, other.TAP, other.User.UID = "/machines/x", "tap_x", 1002
	w.up(t, other)
	w.guest(t, "tap_x") // the kernel does not show a dead guest's routes
	w.host.sh("ip addr add 203.0.113.7/32 dev lo; ip -6 addr add 2001:db8:9::1/128 dev lo")
	for _, c := range []struct{ ip, want string }{
		{"192.0.2.1/32", "192.0.2.1 is the host's own address on eth0 (a guest needs one of its own)"},
		{"203.0.113.7/32", "203.0.113.7 is the host's own address on lo (a guest needs one of its own)"},
		{"192.0.2.255/32", "192.0.2.255 is the network's own on eth0, not an address of one machine"},
		{"192.0.2.248/29", "192.0.2.254 is the router of this host's default route (a guest needs one of its own)\n" +
			"192.0.2.255 is the network's own on eth0, not an address of one machine"},
		{"2001:db8:9::/64", "2001:db8:9::1 is the host's own address on lo (a guest needs one of its own)"},
		{"2001:db8::/64", "2001:db8::2 is the router of this host's default route (a guest needs one of its own)\n" +
			"2001:db8::/64 is the host's own network on eth0 (a guest's prefix is routed to the host, not on its link)"},
		{"2001:db8::/48", "2001:db8::2 is the router of this host's default route (a guest needs one of its own)"},
		{"192.0.2.70/32", "192.0.2.70 is routed to tap_x, the TAP of machine /machines/x (take it out of one of the two)"},
		{"192.0.2.66/32", "192.0.2.66 is routed to tap_x, the TAP of machine /machines/x (take it out of one of the two)"},
		{"2001:db8:7::/64", "2001:db8:7::2 is routed to tap_x, the TAP of machine /machines/x (take it out of one of the two)"},
		{"192.0.2.20/32", ""},
		{"192.0.2.32/29", ""},
		{"198.51.100.7/32", ""},
		{"2001:db8:1::/64", ""},
	} {
		t.Run(c.ip, func(t *testing.T) {
			var err error
			w.host.do(func() { err = Foreign(machine(c.ip), host()) })
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			refusedAs(t, "Foreign", err, fault.MustMend, c.want)
		})
	}
	m := machine("192.0.2.20/32")
	m.MAC = net.HardwareAddr(w.mac(t))
	var err error
	w.host.do(func() { err = Foreign(m, host()) })
	refusedAs(t, "Foreign", err, fault.MustMend, m.MAC.String()+" is the host's own hardware address, of eth0 (choose another in settings/mac)")
	m = machine("192.0.2.20/32", "2001:db8:1::/64")
	w.up(t, m)
	w.guest(t, "tap_bara")
	w.in(t, "Foreign of a machine that is up", func() error { return Foreign(m, host()) })
}

// An address that is routed to another's TAP is not taken from it, even where that
// guest is dead and the kernel's look-up passes its route over.
func TestTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := machine("192.0.2.20/32", "2001:db8:1::/64")
	other.Real, other.TAP, other.User.UID = "/machines/x", "tap_x", 1002
	w.up(t, other)
	for _, ip := range []string{"192.0.2.20/32", "2001:db8:1::/64"} {
		var err error
		w.host.do(func() { err = up(context.Background(), machine(ip), host()) })
		verb := "ip route"
		if strings.Contains(ip, ":") {
			verb = "ip -6 route"
		}
		refusedAs(t, "Up", err, fault.MustMend, verb+" add "+ip+" dev tap_bara proto 117: it is routed to tap_x, the TAP of machine /machines/x (take it out of one of the two)")
		w.in(t, "Release", func() error { return Release(machine(ip), host()) })
		if got := w.plan(t, other); got != nil {
			t.Errorf("the other machine lost something: %q", got)
		}
	}
}

func TestExternal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script, external string
		code                   int
		want                   string // the interface, or the fault
	}{
		{"default route", "", "", fault.OK, "eth0"},
		{"setting", "ip route del default", "eth0", fault.OK, "eth0"},
		{"IPv6 default route", "ip route del default", "", fault.OK, "eth0"},
		{"2000::/3", "ip route del default; ip -6 route del default; ip -6 route add 2000::/3 via 2001:db8::2", "", fault.OK, "eth0"},
		{"two ways", "ip route replace default nexthop via 192.0.2.254 nexthop via 192.0.2.2", "", fault.OK, "eth0"},
		{"no default route", "ip route del default; ip -6 route del default", "", fault.MayPass,
			"no default route, so no external interface (set /srv/uml/external)"},
		{"not there", "", "eth7", fault.MayPass,
			"external interface eth7: there is no such interface (mend /srv/uml/external)"},
		{"port of a bridge", "ip link add br0 type bridge; ip link set eth0 master br0", "eth0", fault.MustMend,
			"external interface eth0 is a port of br0: the addresses belong there (set /srv/uml/external to br0)"},
		{"bridge", "ip link add br0 type bridge; ip link set eth0 master br0; ip link set br0 up", "br0", fault.OK, "br0"},
		{"bridge, its port a container's beside a real one that is down", "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0; " +
			"ip link add x0 type vxlan id 1 dev lo dstport 4789; ip link set x0 master br0", "br0", fault.MayPass,
			"external interface br0: no port to the network forwards, such as x0: its silence proves nothing"},
		{"bridge with a real port", "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0; " +
			"ip link add x0 type vxlan id 1 dev lo dstport 4789; ip link set x0 master br0; ip link set x0 up", "br0", fault.OK, "br0"},
		{"bridge with a port that learns still", "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0; ip link add v0 type veth peer name v1; " +
			"ip link set v1 up; ip link set v0 up master br0; " + listens("v0", 2), "br0", fault.MayPass,
			"external interface br0: its port v0 does not forward yet: its silence proves nothing"},
		{"bridge with guests' ports only", "ip link add br0 type bridge; ip link set br0 up; ip link add v0 type veth peer name v1; ip link set v1 up; ip link set v0 alias 'uml /machines/x' master br0 up; " + isUp("br0"), "br0", fault.MayPass,
			"external interface br0 has no port but guests' TAPs: its silence proves nothing"},
		{"on top of a bridge without ports", "ip link add br0 type bridge; ip link set br0 up; ip link add mv0 link br0 type macvlan; ip link set mv0 up", "mv0", fault.MayPass,
			"external interface br0 has no port: its silence proves nothing"},
		{"on top of a bridge", "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0; ip link add mv0 link br0 type macvlan; ip link set mv0 up", "mv0", fault.OK, "mv0"},
		{"not let in yet", "ip link set eth0 mode dormant; ip link set eth0 state dormant", "eth0", fault.MayPass,
			"external interface eth0 has a carrier, but is not let into the network yet (dormant): its silence proves nothing"},
		{"bridge that got its port later", "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0", "br0", fault.OK, "br0"},
		{"no bridge, and of unknown state", "", "lo", fault.OK, "lo"},
		{"bridge without ports", "ip link add br0 type bridge; ip link set br0 up", "br0", fault.MayPass,
			"external interface br0 has no port: its silence proves nothing"},
		{"bridge whose port listens still", "ip link add br0 type bridge; ip link set eth0 master br0; ip link set br0 up; " + listens("eth0", 1), "br0", fault.MayPass,
			"external interface br0 has no carrier: its silence proves nothing"},
		{"down", "ip link set eth0 down", "eth0", fault.MayPass,
			"external interface eth0 is down: its silence proves nothing (ip link set dev eth0 up)"},
		{"no carrier", "", "eth0", fault.MayPass,
			"external interface eth0 has no carrier: its silence proves nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.host.sh(c.script + "\ntrue")
			if c.name == "no carrier" {
				w.other.sh("ip link set eth0 down")
			}
			var ext *Interface
			var err error
			w.host.do(func() { ext, err = External(&settings.Host{Dir: "/srv/uml", External: c.external}) })
			if c.code != fault.OK {
				refusedAs(t, "External", err, c.code, c.want)
				return
			}
			if err != nil || ext.Name != c.want || len(ext.MAC) != 6 {
				t.Errorf("got %v, %v; want %s", ext, err, c.want)
			}
		})
	}
}

// listens is the command that sets a bridge port's state by hand. The kernel refuses it
// (ENETDOWN) until a worker of its own has seen that the port is up
// (net/bridge/br_netlink.c, br_set_port_state; net/core/link_watch.c).
func listens(port string, state int) string {
	return fmt.Sprintf("%s; bridge link set dev %s state %d", isUp(port), port, state)
}

func isUp(device string) string {
	return "until ip -o link show dev " + device + " | grep -q 'state UP'; do sleep 0.01; done"
}

// A TAP that must be made anew is not taken from a guest that runs on it.
func TestRemakeOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	w.guest(t, "tap_bara")
	m.User.UID = 1002
	before := w.snapshot(t)
	var err error
	w.host.do(func() { err = up(context.Background(), m, host()) })
	refusedAs(t, "Up", err, fault.MayPass,
		"tap_bara must be made anew for the settings as they are, but a process has it open (end the guest first)")
	equal(t, "host", w.snapshot(t), before)
}

func TestLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "192.0.2.21/32")
	look := func() (s *State) {
		t.Helper()
		w.in(t, "Look", func() (err error) { s, err = Look(m, host()); return err })
		return s
	}
	if s := look(); s.Exists || s.Whole() || len(s.Missing) == 0 || s.Surplus != nil {
		t.Errorf("before Up: %+v", s)
	}
	w.up(t, m)
	if s := look(); !s.Whole() {
		t.Errorf("after Up: %+v", s)
	}
	w.guest(t, "tap_bara")
	w.host.sh("ip neigh del proxy 192.0.2.20 dev eth0")
	m.IP4 = m.IP4[:1]
	equal(t, "state", look().String(), lines(
		"tap_bara: user id 1001, up, guest on it",
		"routed: 192.0.2.20/32",
		"routed: 192.0.2.21/32",
		"published: 192.0.2.21 on eth0",
		"missing: ip neigh replace proxy 192.0.2.20 dev eth0 protocol 117",
		"too much: ip neigh del proxy 192.0.2.21 dev eth0",
		"too much: ip route del 192.0.2.21/32 dev tap_bara proto 117",
		"too much: ipset -exist del uml-own4 192.0.2.21/32",
		""))
}

func refusedAs(t *testing.T, what string, err error, code int, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("%s:\n got %v\nwant %s", what, err, want)
	}
	if err != nil && fault.Code(err) != code {
		t.Errorf("%s: exit code %d, want %d (%v)", what, fault.Code(err), code, errors.Unwrap(err))
	}
}
