package test

import (
	"strings"
	"testing"

	"uml/test/lab"
)

// A start and uml-check refuse a COW disc that the guest's kernel would leave out or read
// wrongly, and say how it is mended.
func TestCOWStart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := onCOW(l, "3")
	m.Set("ubd1", "one,/run/small")
	l.Must("sh", "-ec", `umask 022; cd /run
		truncate -s 36M small; mkfs.ext4 -q -b 4096 small; touch -d @1700000000 small; cp -p small copy; uml-disk cow create small $0/one; cp -p $0/one /run/pristine
		truncate -s 40M k; mkfs.ext4 -q -b 1024 k; truncate -s 40M x; mkfs.xfs -q -m crc=0 -s size=512 -f x 2>/dev/null || { truncate -s 320M x; mkfs.xfs -q -s size=512 -f x; }
		truncate -s 40M parts; printf 'start=63, size=20000\n' | sfdisk -q parts; head -c 40M /dev/urandom >noise; head -c 1000448 /dev/zero >odd; touch -d @1700000000 odd`, m.Jail)
	reset := "cd " + m.Jail + "; cp -p /run/pristine one; touch -d @1700000000 /run/small; rm -f ../settings/cow-unsafe; echo one,/run/small >../settings/ubd1\n"
	for _, c := range []struct{ name, change, want string }{
		{"no COW file", "truncate -s 0 one; truncate -s 1M one", "one: is no COW file, and settings/ubd1 names a backing file for it (try: uml-disk cow create /run/small FILE)"},
		{"cut off", "truncate -s 20M one", "one: is 20971520 bytes of "},
		{"damaged", `printf '\000' | dd of=one bs=1 seek=26 conv=notrunc 2>/dev/null; printf '\001' | dd of=one bs=1 seek=27 conv=notrunc 2>/dev/null`, "one: has a damaged COW header: an alignment of 1 bytes"},
		{"named otherwise", "uml-disk cow rebase --unsafe one /run/copy", `one: its header names the backing file "/run/copy", the setting "/run/small" (mend settings/ubd1, or if they are the same: uml-disk cow rebase --unsafe `},
		{"touched", "touch /run/small", "is known as of @1700000000 (if what is in it is the same, as after cp without -p: touch -d @1700000000 /run/small;"},
		{"another size", "echo one,/run/noise >../settings/ubd1; uml-disk cow create /run/noise two; dd if=two of=one bs=1 skip=32 seek=32 count=4096 conv=notrunc 2>/dev/null; rm two", "/run/noise is 41943040 bytes, and was 37748736 (bring the old one back)"},
		{"blocks of 1024", "rm one; uml-disk cow create /run/k one; echo one,/run/k >../settings/ubd1", "one: ext4 with blocks of 1024 bytes: the kernel's COW driver reads it wrongly"},
		{"sectors of 512", "rm one; uml-disk cow create /run/x one; echo one,/run/x >../settings/ubd1", "one: xfs with blocks of 512 bytes: the kernel's COW driver reads it wrongly"},
		{"partition", "rm one; uml-disk cow create /run/parts one; echo one,/run/parts >../settings/ubd1", "one: partition 1 begins at byte 32256, no multiple of 4096"},
		{"size", "uml_mkcow -f one /run/odd; echo one,/run/odd >../settings/ubd1", "/run/odd: is 1000448 bytes, no multiple of 4096"},
		{"merging", `printf 'uml-disk: being merged' | dd of=one bs=1 seek=4106 conv=notrunc 2>/dev/null`, "one: is being merged into its backing file, which was not finished (try: uml-disk cow merge "},
	} {
		l.Must("sh", "-ec", reset+c.change+"; chown guest: one")
		r := m.Run("uml-run", "--dry-run")
		if r.Code != 100 || strings.Count(r.Err, "fatal") != 1 || !strings.Contains(r.Err, c.want) {
			t.Errorf("%s: exit %d, said\n%swant %s", c.name, r.Code, r.Err, c.want)
		}
		if r := l.Run("uml-check", "guest"); r.Code != 100 || !strings.Contains(r.Out, c.want) {
			t.Errorf("%s: uml-check: exit %d, said\n%s", c.name, r.Code, r.Out)
		}
	}
	warned := func(change, want string) {
		t.Helper()
		l.Must("sh", "-ec", reset+change+"; chown guest: one")
		if r := l.Run("uml-check", "guest"); !strings.Contains(r.Out, "warn") || !strings.Contains(r.Out, want) {
			t.Errorf("%s: exit %d, said\n%s", change, r.Code, r.Out)
		}
		if r := m.Run("uml-run", "--dry-run"); r.Code != 0 {
			t.Errorf("%s: exit %d, said\n%s", change, r.Code, r.Err)
		}
	}
	warned("rm one; uml-disk cow create /run/noise one; echo one,/run/noise >../settings/ubd1", "the disc holds no filesystem that is known")
	warned("rm one; uml-disk cow create /run/k one; echo one,/run/k >../settings/ubd1; echo allow >../settings/cow-unsafe", "ext4 with blocks of 1024 bytes")
	warned("echo one >../settings/ubd1", `one: begins like a COW file of "/run/small", and is given to the guest as it is`)
	warned(half, "1 pages are half written")

	// Mended at the start, if the machine is so marked; not by one that fails.
	sum := l.Must("sh", "-ec", reset+half+"; chown guest: one; echo yes >../settings/cow-mend; md5sum <one")
	l.Must("sh", "-ec", "mv "+m.Jail+"/linux "+m.Jail+"/away")
	refused(t, m.Run("uml-run"), 100, "jail/linux: there is no such file")
	equal(t, l.Must("sh", "-ec", "cd $0; mv away linux; md5sum <one", m.Jail), sum)
	l.Must("sh", "-ec", "cd $0; uml_moo one /run/before", m.Jail)
	m.Activate()
	m.WaitUp(0)
	m.WaitLog("1 half-written pages of a COW disc filled from /run/small")
	equal(t, m.Guest("md5sum </dev/ubdb"), l.Must("md5sum", "/run/before")[:32]+"  -\n")

	// One more on the backing file that the jail has is judged and mended all the same.
	l.Must("sh", "-ec", "cd $0; cp -p /run/pristine two; uml-disk cow rebase --unsafe two /run/copy; chown guest: two", m.Jail)
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "attach", "guest", "ubd2", "two,/run/small"), 100, `two: its header names the backing file "/run/copy", the setting "/run/small"`)
	l.Must("sh", "-ec", "cd $0; uml-disk cow rebase --unsafe two /run/small;"+strings.ReplaceAll(half, "=one", "=two"), m.Jail)
	if r := l.Run("uml-ctl", "attach", "guest", "ubd2", "two,/run/small"); r.Code != 0 || !strings.Contains(r.Err, "1 half-written pages of a COW disc filled from /run/small") {
		t.Errorf("attach a COW disc that is half written: exit %d, said %s", r.Code, r.Err)
	}
}

// half marks two sectors of a page as written, with other data than the backing file has.
const half = `printf '\003' | dd of=one bs=1 seek=9000 conv=notrunc 2>/dev/null
	head -c 1024 /dev/urandom | dd of=one bs=512 seek=$((20480/512 + (9000-8192)*8)) conv=notrunc 2>/dev/null`
