package settings

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"uml/fault"
)

// ReadLink says of a machine's link what Read does, and nothing of other faults.
func TestReadLink(t *testing.T) {
	const prefix = "2001:db8:0:1::/64"
	for _, c := range []struct {
		name  string // of the machine
		files map[string]string
		want  string
	}{
		{"web", nil, " invalid Prefix"},
		{"web", map[string]string{"ip6": "# none"}, " invalid Prefix"},
		{"web", map[string]string{"ip6": prefix + "\n2001:db8:1::/48", "mem": "much", "colour": "red"}, "tap_web " + prefix},
		{"web", map[string]string{"ip6": prefix, "net": "routed", "tap": "tap7"}, "tap7 " + prefix},
		{"web", map[string]string{"ip6": prefix, "net": "none"}, " invalid Prefix"},
		{"web", map[string]string{"ip6": prefix, "net": ""}, " invalid Prefix"},
		{"web", map[string]string{"ip6": prefix, "net": "bridged br0"}, " invalid Prefix"},
		{"web", map[string]string{"ip6": prefix, "user": "no-such-account"}, "tap_web " + prefix},
		{"a-long-name-of-a-machine", map[string]string{"ip6": prefix, "user": "bin"}, "tap_2 " + prefix},
		{"a-long-name-of-a-machine", map[string]string{"ip6": prefix}, `@/settings/user: no account "a-long-name-of-a-machine" (try: useradd --system --user-group --shell /usr/sbin/nologin a-long-name-of-a-machine)`},
		{"a-long-name-of-a-machine", map[string]string{"ip6": prefix, "user": "root"}, `@/settings/user: "root" is root or of root's group: a guest never runs as that`},
		{"web", map[string]string{"ip6": prefix, "tap": "a b"}, `@/settings/tap: "a b" is no interface name (letters, digits, then also . _ -, at most 15)`},
		{"web", map[string]string{"ip6": "2001:db8::/48"}, `@/settings/ip6: "2001:db8::/48": the first prefix is the one on the link, a /64`},
	} {
		dir := machine(t, c.name, c.files)
		l, err := ReadLink(dir, c.name, new(Accounts))
		got := fmt.Sprintf("%s %v", l.TAP, l.IP6)
		if err != nil {
			got = strings.ReplaceAll(err.Error(), dir.Path, "@")
			if fault.Code(err) != fault.MustMend {
				t.Errorf("%v: may pass", err)
			}
		}
		if got != c.want {
			t.Errorf("%s %v: got %s, want %s", c.name, c.files, got, c.want)
		}
		m, err := Read(dir)
		if err == nil && l.IP6.IsValid() && (m.TAP != l.TAP || m.IP6[0] != l.IP6) {
			t.Errorf("%s %v: Read says %s, %v", c.name, c.files, m.TAP, m.IP6)
		}
	}
	if _, err := ReadLink(openDir(t, filepath.Dir(machine(t, "web", nil).Path)), "web", new(Accounts)); err == nil || !strings.Contains(err.Error(), "settings: there is no such directory") {
		t.Errorf("got %v", err)
	}
}
