package test

import (
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// Every way in which another host can have what the guest is to get: each address
// is named, with who answers and how.
func TestAddressesAnswer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{
		"ip4": "192.0.2.20\n192.0.2.21\n192.0.2.22\n192.0.2.23",
		"ip6": "2001:db8:1::/64\n2001:db8:2::/56\n2001:db8:3::/56",
	})
	l.SetHost("ping-timeout", "5000") // a machine may be busy; a publishing host takes 0.8 s
	l.Must("sh", "-ec", `
		printf '%s host-b.example host-b\n' `+lab.OtherIP4+` >hosts
		mount --bind hosts /etc/hosts
		ping -q -c1 -W50 `+lab.OtherIP4)
	l.MustOther("sh", "-ec", `
		ip addr add 192.0.2.20/32 dev wan0                  # pings
		ip addr add 192.0.2.21/32 dev wan0                  # drops pings
		iptables -A INPUT -p icmp -d 192.0.2.21 -j DROP
		ip addr add 192.0.2.22/32 dev lo                    # has it on another interface
		ip link add guests type veth peer name gone         # publishes a guest that is gone
		ip link set guests up
		ip link set gone up
		ip route add 192.0.2.23 dev guests
		sysctl -qw net.ipv4.ip_forward=1
		ip neigh add proxy 192.0.2.23 dev wan0
		ip -6 addr add 2001:db8:1::2/128 dev wan0 nodad
		ip -6 addr add 2001:db8:1:0:fcfd:c0ff:fe00:214/128 dev wan0 nodad
		ip -6 addr add 2001:db8:2::2/128 dev wan0 nodad     # drops pings
		ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -d 2001:db8:2::2 -j DROP
		ip -6 addr add fe80::fcfd:c0ff:fe00:214/64 dev wan0 nodad`)
	before := l.State()
	r := m.Run("uml-run")
	mac := strings.TrimSpace(l.MustOther("cat", "/sys/class/net/wan0/address"))
	const all = ": the guest runs on another host, or another has its "
	var want strings.Builder
	for _, line := range []string{
		"192.0.2.20: answers on ext0 (ARP, ICMP echo; MAC of host-b)" + all + "address",
		"192.0.2.21: answers on ext0 (ARP; MAC of host-b)" + all + "address",
		"192.0.2.22: answers on ext0 (ARP, ICMP echo; MAC of host-b)" + all + "address",
		"192.0.2.23: answers on ext0 (ARP (published?); MAC of host-b)" + all + "address",
		"2001:db8:1::2: answers on ext0 (neighbour advertisement, ICMP echo; MAC of host-b)" + all + "address",
		"2001:db8:1:0:fcfd:c0ff:fe00:214: answers on ext0 (neighbour advertisement, ICMP echo; MAC of host-b)" + all + "address",
		"2001:db8:2::2: answers on ext0 (neighbour advertisement; MAC of host-b)" + all + "address",
		"fe80::fcfd:c0ff:fe00:214: answers on ext0 (neighbour advertisement, ICMP echo; MAC of host-b)" + all + "hardware address (settings/mac)",
	} {
		want.WriteString("uml-run: fatal: " + line + "\n")
	}
	const who = "of host-b.example, 192.0.2.1, 2001:db8:ffff::1" // the router: both were spoken with
	equal(t, strings.NewReplacer(mac, "MAC", who, "of host-b").Replace(r.Err), want.String())
	if r.Code != 111 || r.Out != "" {
		t.Errorf("exit %d, want 111; printed %q", r.Code, r.Out)
	}
	same(t, before, l.State())
}

// What no guest can have on this host is refused without asking anybody.
func TestAddressesRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.Machine("other", lab.Settings{"ip4": "192.0.2.30"})
	l.Must("uml-net", "up", "other")
	l.SetHost("ping-timeout", "60000")
	for _, test := range []struct {
		name, file, value, script string
		code                      int
		want                      string
	}{
		{"the host's own", "ip4", lab.HostIP4, "", 100, "192.0.2.10 is the host's own address on ext0"},
		{"the host's own elsewhere", "ip4", "203.0.113.7", "ip addr add 203.0.113.7/32 dev lo", 100, "203.0.113.7 is the host's own address on lo"},
		{"the router's", "ip4", lab.OtherIP4, "", 100, "192.0.2.1 is the router of this host's default route"},
		{"the broadcast address", "ip4", "192.0.2.255", "", 100, "192.0.2.255 is the network's own on ext0"},
		{"multicast", "ip4", "224.0.0.5", "", 100, "settings/ip4: \"224.0.0.5\" cannot be a guest's address"},
		{"everybody's", "ip4", "255.255.255.255", "", 100, "\"255.255.255.255\" cannot be a guest's address"},
		{"loopback", "ip4", "127.0.0.2", "", 100, "\"127.0.0.2\" cannot be a guest's address"},
		{"nobody's", "ip4", "0.0.0.0", "", 100, "\"0.0.0.0\" cannot be a guest's address"},
		{"the host's hardware address", "mac", "02:00:00:00:00:77", "ip link set ext0 address 02:00:00:00:00:77", 100,
			"02:00:00:00:00:77 is the host's own hardware address, of ext0"},
		{"external a port", "ip4", address, "ip link add br0 type bridge; ip link set ext0 master br0", 100,
			"external interface ext0 is a port of br0: the addresses belong there (set " + filepath.Join(l.HostSettings, "external") + " to br0)"},
	} {
		old := ""
		if test.file == "ip4" {
			old = address
		}
		m.Set(test.file, test.value)
		if test.script != "" {
			l.Must("sh", "-ec", test.script)
		}
		before := l.State()
		t.Log(test.name)
		refused(t, m.Run("uml-run"), test.code, test.want)
		same(t, before, l.State())
		if m.Unset(test.file); old != "" {
			m.Set(test.file, old)
		}
	}
}

// The address of another machine of this host, whose guest is dead: silent, but its.
func TestAddressOfAnother(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.Machine("other", lab.Settings{"ip4": address})
	l.Must("uml-net", "up", "other")
	claims := func() string { return l.Must("sh", "-c", "ip route show table all proto 117; ip neigh show proxy") }
	before := claims()
	refused(t, m.Run("uml-run"), 100, "it is routed to tap_other, the TAP of machine "+l.Machines+"/other (take it out of one of the two)")
	equal(t, claims(), before)
}
