package settings

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"uml/fault"
	"uml/handle"
)

// Accounts that every Debian has. The machine is named for its own by default.
const account = "daemon"

// machine makes a machine directory with these settings.
func machine(t *testing.T, name string, files map[string]string) *handle.Dir {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(dir+"/settings", 0o755); err != nil {
		t.Fatal(err)
	}
	for f, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "settings", f), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return openDir(t, dir)
}

func openDir(t *testing.T, name string) *handle.Dir {
	t.Helper()
	d, err := handle.OpenDir(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func read(t *testing.T, dir *handle.Dir) *Machine {
	t.Helper()
	m, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// faults are a whole directory's, a line each, its own path as @.
func faults(t *testing.T, dir *handle.Dir) string {
	t.Helper()
	_, err := Read(dir)
	var lines []string
	for _, p := range fault.Parts(err) {
		if fault.Code(p) != fault.MustMend {
			t.Errorf("got a fault that may pass: %v", p)
		}
		lines = append(lines, strings.ReplaceAll(fault.Line(p.Error()), dir.Path, "@"))
	}
	return strings.Join(lines, "\n")
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestDefaults(t *testing.T) {
	m := read(t, machine(t, account, nil))
	same(t, "User", m.User, Account{account, 1, 1})
	same(t, "Mem", m.Mem.String(), "64M")
	same(t, "MemMin", m.MemMin, Size(0))
	same(t, "Swap", m.Swap, Size(0))
	same(t, "Net", m.Net, Net{Kind: None})
	same(t, "TAP", m.TAP, "tap_daemon")
	same(t, "Transport", m.Transport, Auto)
	same(t, "Root", m.Root, "/dev/ubda")
	same(t, "Kernel", m.Kernel, "linux")
	same(t, "Channels", m.Channels, []Channel{{"con", "null"}, {"con0", "null,fd:1"}, {"con1", "pts"}, {"ssl", "null"}})
	same(t, "MAC", m.MAC.String(), "fe:fe:f7:7b:12:a5") // of sha256("daemon"): never changes
	same(t, "Discs", len(m.Discs), 8)
	same(t, "Discs[7]", m.Discs[7], Disc{N: 7, File: "ubd7", Optional: true})
	same(t, "Machines", m.Machines(), filepath.Dir(m.Real))
	same(t, "NoStart", m.NoStart(), filepath.Dir(m.Real)+"-nostart")
	same(t, "Seccomp", m.Seccomp, SeccompOn)
}

func TestRead(t *testing.T) {
	m := read(t, machine(t, "web", map[string]string{
		"user": "daemon\n", "mem": " 1G\t\n", "mem-min": "96M", "swap": "128M", "ip4": "# ours\n\n192.0.2.32/30\r\n192.0.2.20\n",
		"ip6": "2001:db8:0:1::/64\n2001:db8:1::/48\n", "tap": "tap9", "transport": "tuntap", "ubd1": "cow,/base flags=s", "ubd0": "",
		"root": "", "con1": "null", "con12": "pts", "con2": "pts", "ssl0": "", "kernel": "/usr/bin/linux.uml", "initrd": "boot/initrd", "args": "quiet\npanic=1", "nofile": "2048", "nproc": "99", "nice": "-5", "priority": "7",
	}))
	same(t, "User", m.User, Account{"daemon", 1, 1})
	same(t, "Mem", m.Mem, gib)
	same(t, "MemMin", m.MemMin, 96*mib)
	same(t, "Swap", m.Swap, 128*mib)
	same(t, "Net", m.Net, Net{Kind: Routed})
	same(t, "MAC", m.MAC.String(), "fe:fd:c0:00:02:20") // from the first address
	same(t, "TAP", m.TAP, "tap9")
	same(t, "Transport", m.Transport, Tuntap)
	same(t, "Discs[0]", m.Discs[0], Disc{N: 1, File: "cow", Backing: "/base", Sync: true})
	same(t, "Root", m.Root, "")
	same(t, "Channels", m.Channels, []Channel{{"con", "null"}, {"con0", "null,fd:1"}, {"con1", "null"}, {"con2", "pts"}, {"con12", "pts"}, {"ssl", "null"}, {"ssl0", "none"}})
	same(t, "Kernel", m.Kernel, "/usr/bin/linux.uml")
	same(t, "Initrd", m.Initrd, "boot/initrd")
	same(t, "Args", m.Args, []string{"quiet", "panic=1"})
	same(t, "limits", []int{m.NoFile, m.NProc, m.Nice, m.Priority}, []int{2048, 99, -5, 7})
	var all []string
	for _, a := range m.Addresses4() {
		all = append(all, a.String())
	}
	same(t, "Addresses4", all, []string{"192.0.2.32", "192.0.2.33", "192.0.2.34", "192.0.2.35", "192.0.2.20"})
}

// The last address of all has none after it.
func TestAddresses4End(t *testing.T) {
	m := &Machine{IP4: []netip.Prefix{netip.MustParsePrefix("255.255.255.254/31")}}
	same(t, "Addresses4", len(m.Addresses4()), 2)
}

// Values made from others are the same on every host.
func TestDerived(t *testing.T) {
	m := read(t, machine(t, account, map[string]string{"mac": "fe:fd:c0:00:02:14", "net": ""}))
	p := netip.MustParsePrefix("2001:db8:0:1::/64")
	same(t, "HostMAC", m.HostMAC().String(), "fe:ff:f4:e5:00:ad")
	same(t, "Autoconfigured", m.Autoconfigured(p).String(), "2001:db8:0:1:fcfd:c0ff:fe00:214")
	same(t, "Gateway", Gateway(p).String(), "2001:db8:0:1::1")
	same(t, "Router", Router(p).String(), "2001:db8:0:1::2")
	same(t, "Letter", Disc{N: 7}.Letter(), "h")
}

func TestTAP(t *testing.T) {
	for name, want := range map[string]string{
		"elevenbytes": "tap_elevenbytes", "twelve-bytes": "tap_1", "a.very.long.name.of.a.machine": "tap_1",
	} {
		m := read(t, machine(t, name, map[string]string{"user": account}))
		same(t, name, m.TAP, want)
	}
}

func TestNet(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Net
	}{
		{"no address", nil, Net{Kind: None}},
		{"IPv4", map[string]string{"ip4": "192.0.2.1"}, Net{Kind: Routed}},
		{"IPv6", map[string]string{"ip6": "2001:db8::/64"}, Net{Kind: Routed}},
		{"none said", map[string]string{"ip4": "192.0.2.1", "net": "none"}, Net{Kind: None}},
		{"empty", map[string]string{"ip4": "192.0.2.1", "net": ""}, Net{Kind: None}},
		{"bridged", map[string]string{"net": "bridged br0"}, Net{Bridged, "br0"}},
	} {
		same(t, c.name, read(t, machine(t, account, c.files)).Net, c.want)
	}
}

func TestSeccomp(t *testing.T) {
	m := read(t, machine(t, account, map[string]string{"seccomp": "log", "args": "seccomp=on\nquiet\nseccomp=auto"}))
	same(t, "Seccomp", m.Seccomp, SeccompLog)
	same(t, "GuestSeccomp", m.GuestSeccomp(), "auto")
	same(t, "UnderSeccomp", m.UnderSeccomp(), true)
	read(t, machine(t, account, map[string]string{"seccomp": "kill", "args": "seccomp=off"}))
	same(t, "kill", faults(t, machine(t, account, map[string]string{"seccomp": "kill", "args": "seccomp=on"})),
		`@/settings/seccomp: "kill" cannot be with seccomp=on in settings/args: it would end the guest's own processes (try on)`)
	same(t, "empty", faults(t, machine(t, account, map[string]string{"seccomp": ""})),
		"@/settings/seccomp: is empty, and cannot be none (remove the file for the default)")
}

func TestLock(t *testing.T) {
	for value, want := range map[string]bool{"yes": true, "no": false} {
		same(t, value, read(t, machine(t, account, map[string]string{"lock": value})).Lock, want)
	}
	same(t, "without", read(t, machine(t, account, nil)).Lock, false)
	for value, want := range map[string]string{"maybe": `"maybe" is neither yes nor no`, "yes\nno": `2 values, "yes" and more: this setting takes one`, "": "is empty, and cannot be none (remove the file for the default)"} {
		same(t, value, faults(t, machine(t, account, map[string]string{"lock": value})), "@/settings/lock: "+want)
	}
}

func TestMemFaults(t *testing.T) {
	for value, want := range map[string]string{"7M": `"7M" is too little for any kernel (try 64M)`, "65T": `"65T" is more than any host has`, "9007199254740991K": `"9007199254740991K" is more than any host has`} {
		same(t, value, faults(t, machine(t, account, map[string]string{"mem": value})), "@/settings/mem: "+want)
		same(t, value, faults(t, machine(t, account, map[string]string{"mem-min": value})), "@/settings/mem-min: "+want)
		same(t, value, faults(t, machine(t, account, map[string]string{"mem-min": "64M", "mem": value})), "@/settings/mem: "+want)
	}
	same(t, "too much", faults(t, machine(t, account, map[string]string{"mem-min": "65M"})), "@/settings/mem-min: 65M is more than mem, 64M")
	same(t, "none", read(t, machine(t, account, map[string]string{"mem-min": ""})).MemMin, Size(0))
}

// All faults come at once, by file and in the order of its lines, each with
// path, value and mend.
func TestAllFaultsAtOnce(t *testing.T) {
	dir := machine(t, "web", map[string]string{
		"args": "quiet\nmem=1G\na b\nquiet\n", "con16": "pts", "ip4": "192.0.2.1\n192.0.2.1/32\n1.2\n", "ip6": "2001:db8::/48",
		"mac": "x", "mem": "4M", "nice": "", "nofile": "1\n2", "priority": "100", "swap": "41001K", "tap": "all", "ubd0": "/dev/sda", "ubd8": "x", "user": "root",
	})
	const want = `@/settings/args: "mem=1G": the start makes this argument from the settings
@/settings/args: "a b": a kernel argument cannot hold ' '
@/settings/args: "quiet" stands twice
@/settings/con16: is not a setting (see uml-machine(5))
@/settings/ip4: "192.0.2.1/32" stands twice
@/settings/ip4: "1.2" is no IPv4 address or block (try 192.0.2.20 or 192.0.2.32/29)
@/settings/ip6: "2001:db8::/48": the first prefix is the one on the link, a /64
@/settings/mac: "x" is no hardware address (try fe:fd:c0:00:02:14)
@/settings/mem: "4M" is too little for any kernel (try 64M)
@/settings/nice: is empty, and cannot be none (remove the file for the default)
@/settings/nofile: 2 values, "1" and more: this setting takes one
@/settings/priority: "100" is not a number from 0 to 99
@/settings/swap: "41001K" is no size of a swap (40K to 8T, whole pages of 4K)
@/settings/tap: "all" is no interface name (letters, digits, then also . _ -, at most 15)
@/settings/ubd0: "/dev/sda": a disc that is written lies in the jail (try ubd0)
@/settings/ubd8: is not a setting (see uml-machine(5))
@/settings/user: "root" is root or of root's group: a guest never runs as that`
	if got := faults(t, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAccountFaults(t *testing.T) {
	const mend = " (try: useradd --system --user-group --shell /usr/sbin/nologin "
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nosuch", nil, `@/settings/user: no account "nosuch"` + mend + "nosuch)"},
		{"nosuch", map[string]string{"user": "neither"}, `@/settings/user: no account "neither"` + mend + "neither)"},
		{"nosuch", map[string]string{"user": ""}, "@/settings/user: is empty, and cannot be none (remove the file for the default)"},
		{"nosuch", map[string]string{"user": "a\nb"}, `@/settings/user: 2 values, "a" and more: this setting takes one`},
		{"root", nil, `@/settings/user: "root" is root or of root's group: a guest never runs as that`},
	} {
		if got := faults(t, machine(t, c.name, c.files)); got != c.want {
			t.Errorf("%s, %v: got\n%s\nwant\n%s", c.name, c.files, got, c.want)
		}
	}
}

// The name is the directory's own, whatever link leads there.
func TestMachineName(t *testing.T) {
	dir := machine(t, account, nil)
	link := filepath.Join(t.TempDir(), "other")
	if err := os.Symlink(dir.Path, link); err != nil {
		t.Fatal(err)
	}
	same(t, "Name", read(t, openDir(t, link)).Name, account)
	bad := machine(t, "a b", nil)
	same(t, "fault", faults(t, bad), `@: "a b"`+noName)
}

func TestLocate(t *testing.T) {
	for _, c := range []struct{ name, want, wantErr string }{
		{"web", "/machines/web", ""},
		{"./web", "./web", ""},
		{"/srv/a b/web", "/srv/a b/web", ""},
		{"..", "", `".."` + noName},
		{"", "", `""` + noName},
		{"-h", "", `"-h"` + noName},
	} {
		got, err := Locate("/machines", c.name)
		if got != c.want || (err != nil) != (c.wantErr != "") || err != nil && (err.Error() != c.wantErr || fault.Code(err) != fault.MustMend) {
			t.Errorf("%q: got %q, %v, want %q, %s", c.name, got, err, c.want, c.wantErr)
		}
	}
}
