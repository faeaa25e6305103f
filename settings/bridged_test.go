package settings

import (
	"fmt"
	"testing"
)

// A bridged guest has the address of its hardware address in each /64, and single
// ones; what is for it alone no other may have.
func TestBridged(t *testing.T) {
	m := read(t, machine(t, account, map[string]string{
		"net": "bridged br0", "ip4": "192.0.2.20", "ip6": "2001:db8::/64\n2001:db8:1::20", "isolated": "yes",
	}))
	same(t, "addresses", fmt.Sprint(m.Addresses(), m.LinkLocal()), "[192.0.2.20 2001:db8::fcfd:c0ff:fe00:214 2001:db8:1::20] fe80::fcfd:c0ff:fe00:214")
	same(t, "flags", fmt.Sprint(m.Guarded(), m.Isolated), "true true")
	m = read(t, machine(t, account, map[string]string{"net": "bridged br0", "spoof": "allow"}))
	same(t, "allow", m.Guarded(), false)
}

func TestBridgedFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"routed with the bridged's", map[string]string{"ip4": "192.0.2.20", "ip6": "2001:db8::20", "spoof": "deny", "isolated": "no"},
			`@/settings/ip6: "2001:db8::20" is a single address, which only a bridged guest has (try 2001:db8::/64)
@/settings/isolated: is for a bridged machine, and net is routed (remove the file)
@/settings/spoof: is for a bridged machine, and net is routed (remove the file)`},
		{"bridged with the routed's", map[string]string{"net": "bridged br0", "ip6": "2001:db8::/64\n2001:db8:1::/48"},
			`@/settings/ip6: "2001:db8:1::/48": a bridged guest has a /64 of its segment or single addresses, no prefix of its own (try routed in settings/net)`},
		{"values", map[string]string{"net": "bridged br0", "spoof": "on", "isolated": "1"},
			`@/settings/isolated: "1" is neither yes nor no
@/settings/spoof: "on" is no word on forged addresses (try deny or allow)`},
		{"net at fault", map[string]string{"net": "bridge br0", "spoof": "allow"},
			`@/settings/net: "bridge br0" is no kind of network (try routed, bridged BRIDGE or none)`},
	} {
		same(t, c.name, faults(t, machine(t, account, c.files)), c.want)
	}
}
