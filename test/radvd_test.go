package test

import (
	"path/filepath"
	"strings"
	"testing"

	"uml/check"
	"uml/fault"
	"uml/test/lab"
)

// A guest that is told nothing makes itself an address in the prefix that radvd
// advertises, and when its settings have another one, a new address, and stops using
// the old one.
func TestRadvd(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	conf := filepath.Join(l.Dir, "radvd.conf")
	l.SetHost("radvd-conf", conf)
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64"})
	has(t, lines(t, l, fault.OK), "radvd", check.Warn, conf+" is not what the machines' settings say (try: uml-net radvd")
	l.Must("uml-net", "radvd")
	has(t, lines(t, l, fault.OK), "radvd", check.Warn, "no radvd that reads "+conf+" is running")
	// As the first start would: radvd ends where the host does not forward.
	l.Must("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	l.Must("radvd", "-C", conf, "-m", "logfile", "-l", filepath.Join(l.Dir, "radvd.log"))
	has(t, lines(t, l, fault.OK), "radvd", check.OK, conf)
	m.Activate()
	m.WaitUp(0)

	const host = "fcfd:c0ff:fe00:214"
	shows := func(prefix string, deprecated bool) func() bool {
		return func() bool {
			got := m.Guest("ip -6 addr show dev vec0")
			for line := range strings.Lines(got) {
				if strings.Contains(line, prefix+host+"/64") && strings.Contains(line, " deprecated") == deprecated {
					return true
				}
			}
			return false
		}
	}
	l.Wait("the guest's own address", shows("2001:db8:1:0:", false))
	l.Wait("its answer", func() bool { return l.Run("ping", "-n", "-q", "-c1", "-W1", "2001:db8:1:0:"+host).Code == 0 })
	if route := m.Guest("ip -6 route"); !strings.Contains(route, "default via fe80::") {
		t.Errorf("the guest's routes:\n%s", route)
	}

	m.Set("ip6", "2001:db8:2::/64")
	if r := l.Run("uml-net", "radvd"); r.Code != 0 || r.Out+r.Err != "" {
		t.Errorf("exit %d, %s%s", r.Code, r.Out, r.Err)
	}
	l.Wait("the old address deprecated", shows("2001:db8:1:0:", true))
	l.Wait("the new address", shows("2001:db8:2:0:", false))
	if r := l.Run("uml-net", "radvd"); r.Code != 0 || r.Out+r.Err != "" {
		t.Errorf("again: exit %d, %s%s", r.Code, r.Out, r.Err)
	}
}
