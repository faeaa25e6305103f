package fit

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uml/job"
)

// system makes a root filesystem of names and texts: a name with " -> " is a link, one that ends in
// a slash a directory.
func system(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		to := ""
		if n, l, ok := strings.Cut(name, " -> "); ok {
			name, to = n, l
		}
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if to != "" {
			must(t, os.Symlink(to, full))
			continue
		}
		must(t, os.WriteFile(full, []byte(text), 0o644))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func do(t *testing.T, dir string, f *job.Fit) (*job.Fitted, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	return Do(root, f)
}

// text is a file's, or where a link leads; "-" if there is none.
func text(dir, name string) string {
	full := filepath.Join(dir, name)
	if to, err := os.Readlink(full); err == nil {
		return "-> " + to
	}
	b, err := os.ReadFile(full)
	if err != nil {
		return "-"
	}
	return string(b)
}

// routed is a guest with all that one can have.
func routed() *job.Fit {
	p := netip.MustParsePrefix
	return &job.Fit{
		Name:   "web",
		Mounts: &job.Mounts{Root: "/dev/ubda", Swap: "/dev/ubdp", Discs: []string{"/dev/ubda", "/dev/ubdb"}},
		Network: &job.Network{Device: "vec0", Auto6: true, Addresses: []netip.Prefix{
			p("192.0.2.20/32"), p("192.0.2.33/32"), p("2001:db8:0:1::2/64"), p("2001:db8:0:100::2/128"),
		}},
		DNS:       &job.DNS{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Search: []string{"example.org"}},
		Terminals: &[]string{"tty1", "ttyS0"},
		Fresh: &job.Fresh{MachineID: strings.Repeat("ab", 16), HostKeys: []job.HostKey{
			{Kind: "ed25519", Private: "PE\n", Public: "pe"}, {Kind: "ecdsa", Private: "PC\n", Public: "pc"}, {Kind: "rsa", Private: "PR\n", Public: "pr"},
		}},
		Root: &job.Root{Password: "$6$new", Day: 20000, Keys: []string{"ssh-ed25519 AAAA me"}},
	}
}

const (
	passwd = "root:x:0:0:root:/root:/bin/bash\nbin:x:2:2::/bin:/bin/sh\n"
	shadow = "root:$y$old:19000:0:99999:7:::\nbin:*:1:0:99999:7:::\n"
)

// Every distribution's layout as its own tools leave it: what is asked of it is in its files after.
func TestDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		files         map[string]string
		init, network string
		keys          string
		want          map[string]string // whole, or with "..." before it a part
	}{
		{
			"debian", map[string]string{
				"sbin/init -> /lib/systemd/systemd": "", "lib -> usr/lib": "", "usr/lib/systemd/systemd": "", "usr/lib/systemd/systemd-networkd": "",
				"usr/lib/systemd/system/": "", "usr/sbin/ifup": "", "etc/network/interfaces": "auto eth0\n", "usr/sbin/sshd": "",
				"etc/ssh/ssh_host_ed25519_key": "old", "etc/ssh/ssh_host_rsa_key": "old", "etc/ssh/ssh_host_rsa_key.pub": "old",
				"etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n#PermitRootLogin no\nPermitRootLogin no\nMatch User x\n\tPermitRootLogin no\n",
				"etc/passwd":          passwd, "etc/shadow": shadow, "etc/hostname": "debian\n",
				"etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tdebian.example.org debian\n::1 ip6-localhost\n203.0.113.9 files\n",
				"etc/fstab": "# <file system>\nUUID=1-2 / ext4 defaults 0 1\n/dev/sdb1 none swap sw 0 0\n/dev/hdb /srv ext3 defaults 0 2\n/dev/vdc /data xfs defaults 0 2\nLABEL=efi /boot/efi vfat defaults 0 1\ntmpfs /tmp tmpfs size=10M 0 0\n",
				"etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf": "", "etc/mailname": "debian\n",
				"etc/systemd/system/getty.target.wants/getty@tty3.service -> /lib/systemd/system/getty@.service": "",
				"etc/machine-id": "old\n", "var/lib/dbus/machine-id": "old\n", "root/.bash_history": "x", "home/u/.bash_history": "x",
				"var/log/syslog": "x", "var/log/apt/term.log": "x", "var/log/wtmp": "x", "var/log/journal/0123/system.journal": "x",
				"var/lib/apt/lists/lock": "", "var/lib/apt/lists/x_InRelease": "x", "var/lib/dhcp/dhclient.leases": "x", "var/lib/systemd/random-seed": "x",
			}, "systemd", "ifupdown", "ed25519 rsa", map[string]string{
				"etc/hostname": "web\n", "etc/mailname": "web\n",
				"etc/hosts":                        "192.0.2.20\tweb\n2001:db8:0:1::2\tweb\n127.0.0.1\tlocalhost\n::1 ip6-localhost\n203.0.113.9 files\n",
				"etc/fstab":                        "/dev/ubda\t/\text4\tdefaults,errors=remount-ro\t0\t1\n/dev/ubdp\tnone\tswap\tsw\t0\t0\n# <file system>\n/dev/ubdb /srv ext3 defaults 0 2\n# not here: /dev/vdc /data xfs defaults 0 2\n# not here: LABEL=efi /boot/efi vfat defaults 0 1\ntmpfs /tmp tmpfs size=10M 0 0\n",
				"etc/network/interfaces":           ours + "auto lo\niface lo inet loopback\n\nauto vec0\niface vec0 inet static\n\taddress 192.0.2.20\n\tnetmask 255.255.255.255\n\tup ip addr add 192.0.2.33/32 dev vec0\n\tup ip route add default dev vec0\n\n# Its other address and its default route come by advertisements.\niface vec0 inet6 manual\n\tup ip -6 addr add 2001:db8:0:1::2/64 dev vec0 || true\n\tup ip -6 addr add 2001:db8:0:100::2/128 dev vec0 || true\n",
				"etc/resolv.conf":                  "search example.org\nnameserver 192.0.2.1\n",
				"etc/ssh/ssh_host_ed25519_key":     "PE\n",
				"etc/ssh/ssh_host_ed25519_key.pub": "pe\n",
				"etc/ssh/ssh_host_rsa_key":         "PR\n", "etc/ssh/ssh_host_ecdsa_key": "-",
				"etc/ssh/sshd_config":     "Include /etc/ssh/sshd_config.d/*.conf\n#PermitRootLogin no\nPermitRootLogin prohibit-password\nMatch User x\n\tPermitRootLogin no\n",
				"etc/machine-id":          strings.Repeat("ab", 16) + "\n",
				"var/lib/dbus/machine-id": "-> /etc/machine-id",
				"etc/systemd/system/getty.target.wants/getty@tty3.service":         "-",
				"etc/systemd/system/getty.target.wants/getty@tty1.service":         "-> /usr/lib/systemd/system/getty@.service",
				"etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service": "-> /usr/lib/systemd/system/serial-getty@.service",
				"root/.bash_history": "-", "home/u/.bash_history": "-", "var/log/syslog": "-", "var/log/apt/term.log": "-", "var/log/wtmp": "", "var/log/journal/0123/system.journal": "-",
				"var/lib/apt/lists/lock": "", "var/lib/apt/lists/x_InRelease": "-", "var/lib/dhcp/dhclient.leases": "-", "var/lib/systemd/random-seed": "-",
				"etc/shadow":                "root:$6$new:20000:0:99999:7:::\nbin:*:1:0:99999:7:::\n",
				"etc/passwd":                passwd,
				"root/.ssh/authorized_keys": "ssh-ed25519 AAAA me\n",
			},
		},
		{
			"networkd", map[string]string{
				"sbin/init -> ../lib/systemd/systemd": "", "lib/systemd/systemd": "", "lib/systemd/systemd-networkd": "", "etc/passwd": passwd,
				"etc/systemd/system/systemd-networkd.service -> /dev/null": "", "usr/sbin/sshd": "",
			}, "systemd", "systemd-networkd", "ed25519", map[string]string{
				"etc/systemd/network/05-uml.network":                                  ours + "[Match]\nName=vec0\n\n[Network]\nIPv6AcceptRA=yes\nAddress=192.0.2.20/32\nAddress=192.0.2.33/32\nAddress=2001:db8:0:1::2/64\nAddress=2001:db8:0:100::2/128\n\n[Route]\nDestination=0.0.0.0/0\nScope=link\n",
				"etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "-> /lib/systemd/system/systemd-networkd.service",
				"etc/systemd/system/systemd-networkd.service":                         "-",
				"etc/passwd":                   "root:$6$new:0:0:root:/root:/bin/bash\nbin:x:2:2::/bin:/bin/sh\n",
				"etc/ssh/ssh_host_ed25519_key": "PE\n", "etc/ssh/ssh_host_rsa_key": "-",
			},
		},
		{
			"ubuntu for clouds", map[string]string{
				"sbin/init -> /lib/systemd/systemd": "", "lib -> usr/lib": "", "usr/lib/systemd/systemd": "", "usr/sbin/netplan": "", "etc/netplan/50-cloud-init.yaml": "old",
				"etc/cloud/cloud.cfg": "", "usr/bin/cloud-init": "", "var/lib/cloud/instances/i-1/x": "", "etc/passwd": passwd, "etc/shadow": shadow,
			}, "systemd", "netplan", "", map[string]string{
				"etc/netplan/50-cloud-init.yaml": "-", "etc/netplan/50-cloud-init.yaml.template": "old",
				"etc/netplan/50-uml.yaml":              ours + "network:\n  version: 2\n  ethernets:\n    vec0:\n      dhcp4: false\n      accept-ra: true\n      addresses:\n        - \"192.0.2.20/32\"\n        - \"192.0.2.33/32\"\n        - \"2001:db8:0:1::2/64\"\n        - \"2001:db8:0:100::2/128\"\n      routes:\n        - to: 0.0.0.0/0\n          scope: link\n",
				"var/lib/cloud/seed/nocloud/meta-data": "instance-id: web-abababababab\nlocal-hostname: web\n",
				"var/lib/cloud/seed/nocloud/user-data": "...disable_root: false", "var/lib/cloud/instances/i-1/x": "-",
				"etc/cloud/cloud.cfg.d/99-uml.cfg": "...datasource_list: [ NoCloud, None ]",
			},
		},
		{
			"alpine", map[string]string{
				"sbin/init -> /bin/busybox": "", "bin/busybox": "", "sbin/openrc": "", "sbin/ifup -> /bin/busybox": "", "etc/network/": "", "etc/init.d/networking": "",
				"etc/inittab":   "::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\ntty1::respawn:/sbin/getty 38400 tty1\ntty2::respawn:/sbin/getty 38400 tty2\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n",
				"etc/securetty": "console\ntty1\n", "etc/passwd": passwd, "etc/shadow": "root:*::0:::::\n",
				"etc/dropbear/dropbear_rsa_host_key": "old",
			}, "openrc", "ifupdown", "", map[string]string{
				"etc/inittab":                        "::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\ntty1::respawn:/sbin/getty 38400 tty1\n#off# tty2::respawn:/sbin/getty 38400 tty2\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\nttyS0::respawn:/sbin/getty 38400 ttyS0\n",
				"etc/runlevels/boot/networking":      "-> /etc/init.d/networking",
				"etc/network/interfaces":             "...iface vec0 inet static",
				"etc/securetty":                      "console\ntty1\nttyS0\n",
				"etc/shadow":                         "root:$6$new:20000:0:::::\n",
				"etc/dropbear/dropbear_rsa_host_key": "-",
				"etc/hosts":                          "192.0.2.20\tweb\n2001:db8:0:1::2\tweb\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
			},
		},
		{
			"sysvinit", map[string]string{
				"sbin/init": "", "etc/inittab": "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n2:23:respawn:/sbin/getty 38400 tty2\n", "usr/sbin/ifup": "", "etc/network/": "",
				"etc/passwd": passwd, "etc/shadow": "bin:*:1:0:99999:7:::\n",
			}, "sysvinit", "ifupdown", "", map[string]string{
				"etc/inittab": "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n#off# 2:23:respawn:/sbin/getty 38400 tty2\nS0:2345:respawn:/sbin/getty 38400 ttyS0\n",
				"etc/shadow":  "root:$6$new:20000:0:99999:7:::\nbin:*:1:0:99999:7:::\n",
			},
		},
		{
			"busybox", map[string]string{"sbin/init -> /bin/busybox": "", "bin/busybox": "", "bin/ifup -> /bin/busybox": "", "etc/passwd": "root::0:0::/:/bin/sh\n"}, "busybox", "busybox", "", map[string]string{
				"etc/inittab":               "::sysinit:/etc/init.d/rcS\n::ctrlaltdel:/sbin/reboot\n::shutdown:/bin/umount -a -r\n::wait:/etc/uml-network\ntty1::respawn:/sbin/getty 38400 tty1\nttyS0::respawn:/sbin/getty 38400 ttyS0\n",
				"etc/uml-network":           "#!/bin/sh\n" + ours + "ip link set lo up\nip link set vec0 up\nip addr add 192.0.2.20/32 dev vec0\nip addr add 192.0.2.33/32 dev vec0\nip -6 addr add 2001:db8:0:1::2/64 dev vec0\nip -6 addr add 2001:db8:0:100::2/128 dev vec0\nip route add default dev vec0\n",
				"etc/passwd":                "root:$6$new:0:0::/:/bin/sh\n",
				"root/.ssh/authorized_keys": "ssh-ed25519 AAAA me\n",
			},
		},
		{"empty", map[string]string{}, "", "", "", map[string]string{"etc/hostname": "web\n", "etc/fstab": "...ubda", "etc/passwd": "-"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := system(t, test.files)
			for again := range 2 {
				did, err := do(t, dir, routed())
				if err != nil {
					t.Fatal(err)
				}
				if did.Init != test.init || did.Network != test.network || strings.Join(did.HostKeys, " ") != test.keys {
					t.Errorf("init %q, network %q, keys %q", did.Init, did.Network, did.HostKeys)
				}
				for name, want := range test.want {
					got := text(dir, name)
					if part, ok := strings.CutPrefix(want, "..."); ok && strings.Contains(got, part) {
						continue
					}
					if got != want {
						t.Errorf("%s, time %d: got\n%s\nwant\n%s", name, again+1, got, want)
					}
				}
			}
			if left := find(t, dir, beside); left != "" {
				t.Errorf("left: %s", left)
			}
		})
	}
}

func find(t *testing.T, dir, part string) (found string) {
	t.Helper()
	must(t, filepath.Walk(dir, func(name string, _ os.FileInfo, err error) error {
		if strings.Contains(name, part) {
			found += name + "\n"
		}
		return err
	}))
	return found
}

// What is not asked for stays as it is, to the byte.
func TestDoNothing(t *testing.T) {
	t.Parallel()
	files := map[string]string{"etc/hosts": "127.0.0.1 old\n", "etc/hostname": "old", "etc/fstab": "x", "etc/shadow": shadow, "etc/passwd": passwd, "var/log/x": "y", "sbin/init -> /bin/busybox": "", "etc/inittab": "x"}
	dir := system(t, files)
	if _, err := do(t, dir, &job.Fit{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got := text(dir, name); want != "" && got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := do(t, dir, &job.Fit{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	if got := text(dir, "etc/hosts"); got != "127.0.0.1\tnew\n" {
		t.Errorf("renamed: %q", got)
	}
}

// Owner and permissions stay, secrets are root's alone, other users' lines are as they were.
func TestModes(t *testing.T) {
	t.Parallel()
	dir := system(t, map[string]string{"etc/shadow": shadow, "etc/passwd": passwd, "root/.ssh/authorized_keys": "old\n", "usr/sbin/sshd": "", "etc/ssh/": ""})
	must(t, os.Chmod(filepath.Join(dir, "etc/shadow"), 0o640))
	must(t, os.Chown(filepath.Join(dir, "etc/shadow"), 0, 42))
	must(t, os.Chmod(filepath.Join(dir, "root/.ssh"), 0o777))
	if _, err := do(t, dir, routed()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"etc/shadow": 0o640, "root/.ssh": 0o700, "root/.ssh/authorized_keys": 0o600, "etc/ssh/ssh_host_ed25519_key": 0o600, "etc/ssh/ssh_host_ed25519_key.pub": 0o644, "etc/machine-id": 0o444} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if got := text(dir, "root/.ssh/authorized_keys"); got != "old\nssh-ed25519 AAAA me\n" {
		t.Errorf("%q", got)
	}
}

// A filesystem that somebody has prepared: nothing outside is read or changed, nothing hangs, and
// what cannot be done is said.
func TestHostile(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	must(t, os.WriteFile(secret, []byte("root:secret:0:0::/:\n"), 0o644))
	for _, test := range []struct {
		name    string
		files   map[string]string
		prepare string
		want    string // in the error; "": none
	}{
		{"links out", map[string]string{"etc/fstab -> " + secret: "", "etc/hostname -> ../../../../../.." + secret: "", "etc/passwd -> " + secret: "", "etc/shadow -> " + secret: ""}, "", "escapes"},
		{"etc leads out", map[string]string{"etc -> " + outside: ""}, "", "escapes"},
		{"root's home leads out", map[string]string{"root -> " + outside: "", "etc/passwd": passwd, "etc/shadow": shadow}, "", "escapes"},
		{".ssh leads out", map[string]string{"root/.ssh -> " + outside: "", "etc/passwd": passwd, "etc/shadow": shadow}, "", ""},
		{"logs lead out", map[string]string{"var/log -> " + outside: "", "tmp -> " + outside: "", "home/u -> " + outside: "", "var/lib -> " + outside: ""}, "", ""},
		{"a loop", map[string]string{"etc/fstab -> fstab": ""}, "", "too many"},
		{"directories for files", map[string]string{"etc/fstab/x": "", "etc/hostname/x": ""}, "", "no regular file"},
		{"long", map[string]string{"etc/inittab": strings.Repeat("x\n", most)}, "", "is over"},
		{"no line for root", map[string]string{"etc/passwd": "x:x:0:0:::\n"}, "", "no line for root"},
		{"beside is a directory", map[string]string{"etc/" + beside + "/x": "", "etc/passwd": passwd}, "", ""},
		{"root's home is nothing", map[string]string{"etc/passwd": "root:x:0:0::/../..:/bin/sh\n"}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := system(t, test.files)
			_, err := do(t, dir, routed())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 || text(outside, "secret") != "root:secret:0:0::/:\n" {
				t.Errorf("outside: %v, %v, %s", entries, err, text(outside, "secret"))
			}
			if strings.Contains(text(dir, "etc/hostname")+text(dir, "etc/fstab"), "secret:") {
				t.Error("a file of the host is in it")
			}
		})
	}
}

func FuzzEdit(f *testing.F) {
	for _, text := range []string{passwd, shadow, "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n", "/dev/hda / ext3 defaults 0 1\n", "127.0.1.1 x", "PermitRootLogin=no\nMatch all\n", "\n\n", ""} {
		f.Add(text)
	}
	want := []string{"tty1", "ttyS0"}
	n := routed().Network
	f.Fuzz(func(t *testing.T, text string) {
		for name, edit := range map[string]func(string) string{
			"fstab":   func(s string) string { return setFstab(s, routed().Mounts) },
			"hosts":   func(s string) string { return setHosts(s, "old", "web", n) },
			"renamed": func(s string) string { return setHosts(s, "old", "web", nil) },
			"inittab": func(s string) string { return setInittab(s, want) },
			"once":    func(s string) string { return runOnce(s, "/x") },
			"sshd":    letRoot,
			"shadow":  func(s string) string { s, _ = setPassword(s, "h", 1, true); return s },
			"password": func(s string) string {
				t, err := setPassword(s, "h", 1, false)
				return map[bool]string{true: t, false: s}[err == nil]
			},
		} {
			once := edit(text)
			if twice := edit(once); twice != once {
				t.Errorf("%s: %q becomes %q, and that %q", name, text, once, twice)
			}
		}
	})
}
