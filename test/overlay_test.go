package test

import (
	"strings"
	"testing"

	"uml/test/lab"
)

// onOverlay makes machines whose discs are overlays on the disc of the first.
func onOverlay(l *lab.Lab, all ...*lab.Machine) {
	for i, m := range all {
		script := "rm ubd0"
		if i == 0 {
			script = "mv ubd0 $1; chown root: $1; chmod 444 $1"
		}
		l.Must("sh", "-ec", "cd $0;"+script+"; uml-disk create --overlay $1 ubd1 32M", m.Jail, base)
		m.Set("ubd0", base+" flags=r")
		m.Set("initrd", "ubd1.initrd")
	}
}

// Guests of 64M share one base disc, change it each in its own way, and keep that; the base
// stays as it is.
func TestOverlay(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	one := guest(l)
	two := l.Machine("second", lab.Settings{"ip4": "192.0.2.21"})
	onOverlay(l, one, two)
	sum := l.Must("md5sum", base)
	// The base has the address of the first; what is on the disc already stays.
	l.Must("sh", "-ec", `cd $0; echo 192.0.2.21/32 >/run/a; for c in 'mkdir upper' 'mkdir upper/etc' 'write /run/a upper/etc/addresses'; do debugfs -w -R "$c" ubd1 2>/dev/null; done`, two.Jail)
	all := []*lab.Machine{one, two}
	for _, m := range all {
		m.Activate()
	}
	for _, m := range all {
		m.WaitUp(0)
		m.Guest("echo " + m.Name + " | tee /root/own >>/etc/rc; chmod 4755 /lib/ipv6.ko; rm /etc/inittab.old /etc/local; mv /lib /lib2; mv /lib2 /lib; dd if=/dev/zero of=/dev/ubda count=1; ln /root/own /root/hard; mkdir -m 1777 /tmp/d; ln -s own /root/link; sync")
	}
	for _, m := range all {
		l.Must("uml-ctl", "stop", m.Name)
		l.Must("touch", base)
		m.Svc("-u")
		m.WaitUp(0)
		equal(t, m.Guest("cat /root/own /root/link /root/hard; tail -n 1 /etc/rc; stat -c %a /lib/ipv6.ko /tmp/d"), strings.Repeat(m.Name+"\n", 4)+"4755\n1777\n")
		equal(t, m.Guest(`awk '$2 != "/proc" {print $2, $3, substr($4, 1, 2)}' /proc/mounts | grep -v devtmpfs | sort -u`), "/ overlay rw\n/sys sysfs rw\n")
		equal(t, m.Guest("ls /init /modules 2>&1 | grep -c 'No such'"), "2\n")
	}
	equal(t, l.Must("md5sum", base), sum)
	l.Must("sh", "-ec", "cd $0; test $(stat -c %U:%a ubd1.initrd) = guest:600; uml-ctl stop guest; uml-disk check ubd1", one.Jail)
}

// Where there can be no overlay, the log says why, and the guest ends.
func TestOverlayDamage(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Must("sh", "-ec", "cd /run; truncate -s 30M zeros; mkfs.ext4 -q -b 4096 other 30M")
	cases := []struct{ name, change, args, want string }{
		{"first", "true", "init=/nosuch", "execute /nosuch: no such file or directory"},
		{"nofs", "cat /run/zeros >ubd1", "", "the writable disc /dev/ubdb: has no filesystem that this kernel knows"},
		{"nodisc", "rm ubd1", "", "the writable disc /dev/ubdb: there is no such disc"},
		{"nobase", "echo /run/zeros flags=r >../settings/ubd0", "", "the base disc /dev/ubda: has no filesystem that this kernel knows"},
		{"unclean", "cp /run/base /run/unclean; debugfs -w -R 'feature needs_recovery' /run/unclean >/dev/null 2>&1; echo /run/unclean flags=r >../settings/ubd0", "", "it was not unmounted cleanly"},
		{"otherbase", "echo x >/run/x; debugfs -w -R 'write /run/x base' ubd1 2>/dev/null", "", "the writable disc /dev/ubdb: was begun on another base than /dev/ubda is now"},
		{"swapped", "true", "overlay=/dev/ubdb,/dev/ubda", "the writable disc /dev/ubda: "},
		{"noinit", "echo /run/other flags=r >../settings/ubd0", "", "execute /sbin/init: no such file or directory"},
		{"nomodule", "cp -p ubd1.initrd x; sed 's,modules\\x00,MODULES\\x00,g; s,modules/000,MODULES/000,g' x >ubd1.initrd; rm x", "", "this kernel has no overlayfs, and the initramfs no module of it"},
	}
	var all []*lab.Machine
	for _, c := range cases {
		all = append(all, l.Machine(c.name, nil))
	}
	onOverlay(l, all...)
	for i, c := range cases {
		m := all[i]
		l.Must("sh", "-ec", "cd $0; "+c.change, m.Jail)
		if c.args != "" {
			m.Set("args", c.args)
		}
		m.Activate()
		m.Svc("-o")
	}
	for i, c := range cases {
		m := all[i]
		m.WaitLog("uml-overlay-init: fatal: ")
		if !strings.Contains(m.Log(), c.want) {
			t.Errorf("%s: said\n%s\nwant %s", c.name, m.Log(), c.want)
		}
		m.WaitDown()
	}
}

// The file of the setting initrd is judged as all that a start brings in.
func TestInitrd(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"initrd": "initrd"})
	for _, c := range []struct{ make, set, want string }{
		{"true", "initrd", "jail/initrd: there is no such file"},
		{"touch initrd", "initrd", "jail/initrd: is empty, no initrd"},
		{"truncate -s 33M initrd", "initrd", "jail/initrd: is 34603008 bytes: of 64M of RAM (settings/mem) it may take half"},
		{"mkdir initrd", "initrd", "jail/initrd: is a directory"},
		{"ln -s ubd0 initrd", "initrd", "jail/initrd: is a symbolic link"},
		{"mkfifo initrd", "initrd", "jail/initrd: is a fifo"},
		{"echo x >initrd; chown daemon: initrd", "initrd", "jail/initrd: belongs to user 1, neither guest nor root"},
		{"echo x >initrd; chmod 600 initrd", "initrd", "jail/initrd: guest cannot read it (try: chmod a+r "},
		{"echo x >/run/initrd; chown guest: /run/initrd", "/run/initrd", "/run/initrd: is not root's alone"},
		{"mkdir /run/loose; chmod 777 /run/loose; echo x >/run/loose/initrd", "/run/loose/initrd", "/run/loose: others than root can change it"},
		{"true", "../initrd", `"../initrd" is not a name in the jail`},
		{"truncate -s 1M initrd; chown guest: initrd; echo initrd >../settings/ubd1", "initrd", "/initrd in the jail is "},
	} {
		l.Must("sh", "-ec", "cd $0; umask 022; rm -rf initrd ../settings/ubd1; "+c.make, m.Jail)
		m.Set("initrd", c.set)
		refused(t, m.Run("uml-run"), 100, c.want)
		if r := l.Run("uml-check", "guest"); r.Code != 100 || !strings.Contains(r.Out, c.want) {
			t.Errorf("%s: uml-check: exit %d, said\n%s", c.make, r.Code, r.Out)
		}
	}
	l.Must("sh", "-ec", "cd $0; rm ../settings/ubd1; mv ubd0 ubd5; echo x >/run/boot; chmod 644 /run/boot", m.Jail)
	m.Set("initrd", "/run/boot")
	if r := m.Run("uml-run", "--dry-run"); r.Code != 0 { // what is the root is the initrd's to say
		t.Errorf("without ubd0: exit %d, said %s", r.Code, r.Err)
	}
	l.Must("sh", "-ec", "cd $0; mv ubd5 ubd0; echo x >/run/boot; chmod 644 /run/boot", m.Jail)
	m.Set("initrd", "/run/boot")
	r := m.Run("uml-run", "--dry-run")
	for _, want := range []string{"check /run/boot: 2 bytes, for the guest's first root\n", "bind /run/boot at /initrd ro,nosuid,nodev,noexec\n", " ubd0d=/ubd0 initrd=/initrd root=/dev/ubda "} {
		if r.Code != 0 || !strings.Contains(strings.Join(strings.Fields(r.Out), " "), strings.TrimSpace(want)) {
			t.Errorf("a dry run: exit %d, said\n%s%s\nwant %s", r.Code, r.Out, r.Err, want)
		}
	}
	m.Set("args", "initrd=/ubd0")
	refused(t, m.Run("uml-run"), 100, `"initrd=/ubd0": the start makes this argument from the settings`)
	equal(t, l.Must("sh", "-c", "uml-check guest | grep -c 'initrd .*/run/boot: 2 bytes' || true"), "0\n")
	m.Unset("args")
	equal(t, l.Must("sh", "-c", "uml-check guest | grep -c 'initrd .*/run/boot: 2 bytes'"), "1\n")
}

// Both files or neither, and a clear word.
func TestOverlayRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.Must("sh", "-ec", `cd $0; mv ubd0 /run/base; chmod 444 /run/base; chown root: /run/base; cp /run/base /run/loose; chmod 666 /run/loose
		cp linux /run/linux; echo x >taken.initrd; uml-disk cow create /run/base cow; mkdir -p /run/none /run/zipped/6.1.176`, m.Jail)
	l.Must("sh", "-ec", "echo kernel/overlay.ko.xz: >/run/zipped/6.1.176/modules.dep")
	before := l.Must("ls", "-A", m.Jail)
	for _, c := range []struct {
		want string
		args string
	}{
		{"/run/loose: is not root's alone", "create --overlay /run/loose new 32M"},
		{"/run/nosuch: no such file", "create --overlay /run/nosuch new 32M"},
		{"cow: is a COW file itself", "create --overlay cow new 32M"},
		{"taken.initrd: is there already", "create --overlay /run/base taken 32M"},
		{"new: 4K is too small for a disc", "create --overlay /run/base new 4K"},
		{"leave --fs none out", "create --overlay /run/base --fs none new 32M"},
		{"/run/none/6.1.176/modules.dep: no such file", "create --overlay /run/base --modules /run/none new 32M"},
		{"kernel/overlay.ko.xz: is compressed", "create --overlay /run/base --modules /run/zipped new 32M"},
		{"/bin/busybox: is a program, but not a user-mode Linux kernel", "create --overlay /run/base --kernel /bin/busybox new 32M"},
		{"lies in no machine's jail, so the kernel must be named", "create --overlay /run/base /run/new 32M"},
		{"taken.initrd: is there already, and no initrd of ours", "initrd taken.initrd"},
	} {
		refusedBy(t, "uml-disk", l.RunIn(m.Jail, append([]string{"uml-disk"}, strings.Fields(c.args)...)...), 100, c.want)
	}
	equal(t, l.Must("ls", "-A", m.Jail), before)
	l.Must("sh", "-ec", "cd $0; mkdir full; mount -t tmpfs -o size=2M none full; chown guest: full", m.Jail)
	refusedBy(t, "uml-disk", l.RunIn(m.Jail, "uml-disk", "create", "--overlay", base, "full/new", "32M"), 111, "no space left on device; nothing was changed")
	equal(t, l.Must("ls", "-A", m.Jail+"/full"), "")
	equal(t, l.Must("sh", "-ec", "cd $0; uml-disk create --overlay /run/base new 32M", m.Jail), "ubd0: /run/base flags=r\nubd1: new\ninitrd: new.initrd\n")
	refusedBy(t, "uml-disk", l.RunIn(m.Jail, "uml-disk", "create", "--overlay", base, "new", "32M"), 100, "new: is there already")
	l.Must("sh", "-ec", "cd $0; rm new; uml-disk create --overlay /run/base new 32M", m.Jail)
	l.Must("sh", "-ec", `cd $0; cp new.initrd /run/was; echo longer >>new.initrd; uml-disk initrd new.initrd; cmp new.initrd /run/was; test $(stat -c %U:%a new.initrd) = guest:600
		uml-disk initrd --kernel /run/linux /run/one.initrd; cmp /run/one.initrd /run/was; cpio -t </run/was 2>/dev/null >/run/list || busybox cpio -t </run/was >/run/list`, m.Jail)
	equal(t, l.Must("cat", "/run/list"), "modules\ninit\nmodules/000-overlay.ko\n")
}
