package test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"uml/test/lab"
)

// A disc is made, grown, shrunk, copied and thinned, with what is in it, as its user's.
func TestDisc(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", nil)
	in := func(script string) string { t.Helper(); return l.Must("sh", "-ec", "cd "+m.Jail+"\n"+script) }
	in(`uml-disk create ubd1 64M
		head -c 9M /dev/urandom >/run/data; debugfs -w -R 'write /run/data data' ubd1 2>/dev/null`)
	holds := func(file string) {
		t.Helper()
		in(fmt.Sprintf(`uml-disk check %s | grep -qx '%[1]s: sound'; debugfs -R 'cat data' %[1]s 2>/dev/null | cmp - /run/data
			test "$(stat -c %%U:%%a %[1]s)" = guest:600`, file))
	}
	holds("ubd1")
	in("uml-disk grow ubd1 200M; uml-disk grow ubd1 200M; test $(stat -c %s ubd1) = 209715200; dumpe2fs -h ubd1 2>/dev/null | grep -q 'Block count: *51200'")
	holds("ubd1")
	in("uml-disk shrink ubd1 40M; test $(stat -c %s ubd1) = 41943040")
	holds("ubd1")
	in(`uml-disk clone ubd1 copy; test $(stat -c %b copy) -le $(($(stat -c %b ubd1) + 64))`)
	holds("copy")
	in(`cp --sparse=never copy full; chown guest: full; chmod 600 full; uml-disk trim full; test $(stat -c %b full) -le $(($(stat -c %b copy) + 64))`)
	holds("full")
	in(`uml-disk convert ubd1 q --to qcow2; uml-disk info q | grep -q 'format *qcow2'; uml-disk convert q raw; cmp raw ubd1`)
	in(`uml-disk create ubd2 10M --fs none --alloc full; test $(stat -c %b ubd2) -ge 20480; uml-disk grow ubd2 11M; test $(stat -c %s ubd2) = 11534336`)
	equal(t, in("uml-disk list guest | awk '{print $1, $2, $4, $5, $6}'"), "DEVICE SIZE DISC FORMAT HOLDS\nubd0 24M raw ext4 -\nubd1 40M raw ext4 -\nubd2 11M raw none -\n")
	equal(t, in("find . -name '.*.new'"), "")
}

// What parses a guest's image or filesystem has the guest's rights, wherever the file lies and
// wherever to it goes; an image is not read while the guest's user can change it.
func TestDiscParsers(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", nil)
	l.Must("sh", "-ec", `cd $0; uml-disk create disc 16M; uml-disk convert disc q --to qcow2; cp -p disc /run/disc; touch /run/who; chmod 666 /run/who
		for p in qemu-img e2fsck; do
			real=$(command -v $p); cp $real /run/$p.real
			printf '#!/bin/sh\nfor f in /proc/self/fd/[34]; do test -e $f || continue; if test -w $f; then w="$w w"; else w="$w r"; fi; done\necho %s $(id -un) $w >>/run/who; exec /run/%s.real "$@"\n' $p $p >/run/$p
			chmod 755 /run/$p /run/$p.real; mount --bind /run/$p $real
		done
		uml-disk convert q /run/out; cmp disc /run/out; test $(stat -c %U:%a /run/out) = root:644
		uml-disk convert q own; cmp disc own; test $(stat -c %U:%a own) = guest:600
		uml-disk check /run/disc`, m.Jail)
	equal(t, l.Must("cat", "/run/who"), "qemu-img guest r w\nqemu-img guest r w\ne2fsck guest w\n")
}

// Where the filesystem can share blocks, a clone and a merged disc take none. No lab can
// mount one, so it is in a mount namespace alone.
func TestDiscReflink(t *testing.T) {
	t.Parallel()
	const script = `cd $0; truncate -s 300M fs; mkfs.$1 -q fs; mkdir m; mount -o loop fs m; trap 'umount -d m' EXIT; cd m
		head -c 100M /dev/urandom >one; $2 clone one two; cmp one two
		$2 cow create one cow; $2 cow merge cow --into three; cmp one three
		sync; test $(df --output=used -k . | tail -1) -lt 150000; cd ..`
	for _, fs := range []string{"btrfs", "xfs"} {
		if out, err := exec.Command("unshare", "--mount", "sh", "-ec", script, t.TempDir(), fs, abs(t, "../bin/uml-disk")).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", fs, err, out)
		}
	}
}

// Each is one line and the right exit code, with nothing changed and nothing left.
func TestDiscRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", nil)
	l.Must("sh", "-ec", `cd $0; uml-disk create disc 16M; uml-disk create none 16M --fs none; ln -s disc link; ln disc hard1; mkfifo fifo; mkdir -p dir/jail dir/settings; mknod dev b 7 0
		cp disc stranger; chown daemon: stranger; (umask 077; cp disc secret); mkfs.ext4 -q -b 4096 damaged 16M; chown guest: damaged; dd if=/dev/urandom of=damaged bs=4096 seek=1 count=200 conv=notrunc 2>/dev/null
		ln -s /etc outside; ln -s $0 /run/linked; mkdir -m 777 /run/open; cp disc /run/open/disc
		printf 'OOOM\000\000\000\003' | dd of=broken bs=8192 conv=sync 2>/dev/null; mkdir ro; mount -t tmpfs -o ro none ro; mkdir full; mount -t tmpfs -o size=1M none full; chown guest: full`, m.Jail)
	all := "cd " + m.Jail + "; find . /run ! -name '*.swp' -printf '%p %y %s %u %m %T@\n' | sort; cat disc none damaged | md5sum"
	before := l.Must("sh", "-c", all)
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{100, "disc: is there already", "create disc 1G"},
		{100, "64M or 1G", "create new 1000"},
		{100, "is too small for a disc", "create new 4K"},
		{100, "is larger than any disc", "create new 99999999T"},
		{100, "no files as large", "create new 100T --fs none"},
		{100, `"xfs" is no filesystem that is made`, "create new 64M --fs xfs"},
		{100, `"thin" is no way to take room`, "create new 64M --alloc thin"},
		{111, "no space left on device; nothing was changed", "create full/new 2M --alloc full --fs none"},
		{100, "read-only file system", "create ro/new 1M"},
		{100, "nosuch/new: its directory: no such file or directory", "create nosuch/new 1M"},
		{100, `leads over the symbolic link "outside", which others than root can have made`, "create outside/new 1M"},
		{100, "link: is a symbolic link", "info link"},
		{100, "fifo: is a fifo", "info fifo"},
		{100, "dir: is a directory", "info dir"},
		{100, "dev: is a device", "info dev"},
		{100, "stranger: belongs to user 1, neither guest nor root", "trim stranger"},
		{100, "secret: permission denied", "clone secret new"},
		{100, "secret: permission denied", "info secret"},
		{100, "disc: has 2 names", "grow disc 20M"},
		{100, "/run/open: others than root can change it", "clone /run/open/disc new"},
		{100, "is 16M (16777216 bytes) already", "grow none 1M"},
		{100, "holds no ext filesystem, so it cannot be shown that nothing is lost", "shrink none 1M"},
		{100, "damaged: its filesystem is damaged, and was not touched", "grow damaged 20M"},
		{100, "damaged: e2fsck: ", "check damaged"},
		{100, "broken: has a damaged COW header", "cow info broken"},
		{100, "none: is no COW file", "cow check none"},
		{100, `"bmp" is no format`, "convert none new --to bmp"},
		{100, "a COW file wants --backing FILE", "convert none new --to cow"},
		{100, "it takes FILE NEW, and was given 1", "clone none"},
		{100, `"mrge" is no command (did you mean merge?`, "cow mrge"},
		{100, "there is no such machine", "list nobody"},
	} {
		refusedBy(t, "uml-disk", l.RunIn(m.Jail, append([]string{"uml-disk"}, strings.Fields(c.args)...)...), c.code, c.want)
		if t.Failed() {
			t.Fatal(c.args)
		}
	}
	// Links of the administrator's that lead to a jail are followed, and it is one all the same.
	refusedBy(t, "uml-disk", l.Run("uml-disk", "trim", "/run/linked/stranger"), 100, "neither guest nor root")
	same(t, before, l.Must("sh", "-c", all))
	// A jail within the jail is none.
	l.Must("sh", "-ec", "cd $0; chown -R guest: dir; uml-disk create dir/jail/new 1M --fs none; test $(stat -c %U dir/jail/new) = guest", m.Jail)
}

// Killed at any moment it leaves nothing, and what was there is there.
func TestDiscKilled(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ubd2": "cow," + base})
	l.Must("sh", "-ec", `cd $0; uml-disk create disc 64M; head -c 40M /dev/urandom >/run/data; debugfs -w -R 'write /run/data data' disc 2>/dev/null
		uml-disk create /run/base 64M; uml-disk cow create /run/base cow; debugfs -w -R 'write /run/data data' /run/base 2>/dev/null
		cp -p /run/base /run/second; uml-disk cow rebase --unsafe cow /run/base`, m.Jail)
	for _, args := range []string{
		"create new 1G", "create --overlay /run/base new 1G", "clone disc new", "convert disc new --to cow --backing /run/base", "convert disc new --to qcow2", "cow merge cow --into new",
		"grow disc 80M", "shrink disc 60M", "cow rebase cow /run/second", "cow rebase cow /run/base",
	} {
		for range 3 {
			cmd := l.Cmd(t.Context(), m.Jail, append([]string{"uml-disk"}, strings.Fields(args)...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			killTree(l, "uml-disk")
			cmd.Wait()
			l.Must("sh", "-ec", `cd $0; test ! -e new -o -e new.initrd -o "$1" = "${1#*--overlay}"; rm -f new new.initrd; uml-disk check disc >/dev/null; debugfs -R 'cat data' disc 2>/dev/null | cmp - /run/data
				b=/run/base; uml-disk cow info --json cow | grep -q '"header": "/run/second"' && b=/run/second; uml-disk cow check cow --backing $b >/dev/null`, m.Jail, args)
		}
	}
	equal(t, l.Must("sh", "-c", "cd $0; ls -A | grep -v '^\\..*\\.new$'", m.Jail), "cow\ndisc\nlinux\nubd0\n")
}

// killTree ends every process of that name in the lab.
func killTree(l *lab.Lab, name string) {
	for _, pid := range l.Processes(func(s lab.Status) bool { return s["Name"] == name }) {
		l.Run("kill", "-9", strconv.Itoa(pid)) // which may have ended by itself
	}
}
