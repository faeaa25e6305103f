package test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"uml/kernels"
	"uml/test/lab"
)

// store has Debian's kernel in it, as debian, and the machines on it whose roots have
// lost their modules.
func store(l *lab.Lab, all ...*lab.Machine) (image string) {
	l.Must("uml-kernel", "add", "user-mode-linux", "debian")
	image = filepath.Join(l.Dir, "kernels/debian/linux")
	for _, m := range all {
		l.Must("sh", "-ec", "cd $0; rm linux; for f in /lib/crc-ccitt.ko /lib/ipv6.ko; do debugfs -w -R \"rm $f\" ubd0 2>/dev/null; done", m.Jail)
		m.Set("kernel", image)
	}
	return image
}

// A guest whose root has none of its kernel's modules has IPv6 by the store's initrd, and
// where its root has /lib/modules, all of them.
func TestKernel(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	conf := filepath.Join(l.Dir, "radvd.conf")
	l.SetHost("radvd-conf", conf)
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64"})
	with := l.Machine("with", lab.Settings{"ip4": "192.0.2.21", "root": "", "args": "rw\nrootflags=commit=77\nrootfstype=ext3,ext4"})
	image := store(l, m, with)
	l.Must("sh", "-ec", `cd $0; for c in 'rmdir lib' 'mkdir usr' 'mkdir usr/lib' 'mkdir usr/lib/modules' 'symlink lib /usr/lib'; do debugfs -w -R "$c" ubd0 2>/dev/null; done`, with.Jail)
	l.Must("uml-net", "radvd")
	l.Must("radvd", "-C", conf, "-m", "logfile", "-l", filepath.Join(l.Dir, "radvd.log"))

	dry := m.Run("uml-run", "--dry-run").Out
	for _, want := range []string{"check  " + filepath.Dir(image) + "/initrd: ", "as ubd14", "ubd14rd=/modules.img ", "initrd=/initrd ", "bind " + filepath.Dir(image) + "/modules.img at /modules.img ro,nosuid,nodev,noexec"} {
		if !strings.Contains(dry, want) {
			t.Errorf("a dry run says no %q:\n%s", want, dry)
		}
	}
	checked := l.Run("uml-check", "guest").Out
	for _, want := range []string{"initrd     " + filepath.Dir(image) + "/initrd", "modules    " + filepath.Dir(image) + "/modules.img"} {
		if !strings.Contains(checked, want) {
			t.Errorf("uml-check says no %q:\n%s", want, checked)
		}
	}

	m.Activate()
	with.Activate()
	m.WaitUp(0)
	with.WaitUp(0)
	equal(t, m.Guest("cat /proc/modules | cut -d' ' -f1 | sort | tr '\n' ' '; ls /lib; ls -d /init /plain /modules 2>/dev/null"), "crc_ccitt ipv6 ")
	l.Wait("the guest's own address", func() bool {
		return l.Run("ping", "-n", "-q", "-c1", "-W1", "2001:db8:1:0:fcfd:c0ff:fe00:214").Code == 0
	})
	// What is mounted is what would be without an initrd.
	equal(t, m.Guest(`awk '$2 != "/proc" {print $2, $3, substr($4, 1, 2)}' /proc/mounts | grep -v devtmpfs | sort -u`), "/ ext4 rw\n/sys sysfs rw\n")
	equal(t, with.Guest("grep ' / ' /proc/mounts | cut -d, -f1,3; grep modules /proc/mounts | cut -d, -f1,2"), "/dev/ubda / ext4 rw,commit=77 0 0\n/dev/ubdo /usr/lib/modules ext4 ro,nosuid\n")
	equal(t, with.Guest("modprobe dummy && grep -c ^dummy /proc/modules; touch /lib/modules/x 2>&1 | grep -c Read-only"), "1\n1\n")

	// The paper's 2.5: the administrator moves guests to another one.
	refusedBy(t, "uml-kernel", l.Run("uml-kernel", "remove", "debian"), 100, "debian: is in use: guest runs it, with runs it (uml-kernel roll")
	l.Must("uml-kernel", "add", image, "other")
	second := l.Machine("second", nil) // its kernel is its own
	out := l.Must("uml-kernel", "roll", "--dry-run", "other")
	other := filepath.Join(l.Dir, "kernels/other/linux")
	equal(t, out, "guest: settings/kernel would be "+other+" (is "+image+"); its guest runs, and moves at its next restart\n"+
		"with: settings/kernel would be "+other+" (is "+image+"); its guest runs, and moves at its next restart\n")
	l.Must("uml-kernel", "roll", "other", "with")
	equal(t, l.Must("cat", m.Dir+"/settings/kernel", with.Dir+"/settings/kernel"), image+"\n"+other+"\n")
	refusedBy(t, "uml-kernel", l.Run("uml-kernel", "remove", "debian"), 100, "guest runs it, with runs it until its restart")
	equal(t, l.Must("uml-kernel", "roll", "other"), "guest: settings/kernel is "+other+" (was "+image+"); its guest runs, and moves at its next restart\n"+
		"with: has it already; its guest runs, and moves at its next restart\n")
	l.Must("sh", "-ec", "test ! -e $0/settings/kernel", second.Dir)
	for _, g := range []*lab.Machine{m, with} {
		pid := g.PID()
		l.Must("uml-ctl", "restart", g.Name)
		g.WaitUp(pid)
	}
	refusedBy(t, "uml-kernel", l.Run("uml-kernel", "remove", "debian"), 100, "debian: is the default")
	l.Must("uml-kernel", "default", "other")
	var all []kernels.Kernel
	if err := json.Unmarshal([]byte(l.Must("uml-kernel", "list", "--json")), &all); err != nil || len(all) != 2 {
		t.Fatalf("%v: %v", all, err)
	}
	d, o := all[0], all[1]
	if len(d.Machines) != 0 || d.Default || d.Modules < 500 || strings.Join(d.Transports, " ") != "vector fd tuntap" || strings.Join(d.Libraries, " ") != "libc.so.6" {
		t.Errorf("debian: %+v", d)
	}
	if len(o.Machines) != 2 || !o.Machines[0].Set || o.Machines[0].Running != m.PID() || !o.Default || o.Modules != 0 || !o.Initrd || o.Image != other {
		t.Errorf("other: %+v", o)
	}
	l.Must("uml-kernel", "remove", "debian")
	l.Must("sh", "-ec", "cd $0; test ! -e debian; test ! -e .new; test $(readlink default) = other", filepath.Join(l.Dir, "kernels"))
}
