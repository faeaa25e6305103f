package test

import (
	"fmt"
	"strings"
	"testing"

	"uml/test/lab"
)

// base is where a backing file lies in a lab.
const base = "/run/base"

// onCOW moves a guest's disc away, as the backing file of a COW file in its place.
func onCOW(l *lab.Lab, version string) *lab.Machine {
	m := l.Machine("guest", lab.Settings{"ip4": address, "ubd0": "ubd0," + base})
	l.Must("sh", "-ec", "cd $0; mv ubd0 $1; chown root: $1; chmod 444 $1", m.Jail, base)
	l.Must("uml-disk", "cow", "create", base, m.Jail+"/ubd0", "--version", version)
	return m
}

// The guest's kernel takes what we made, and what it writes we read as uml_moo does. Then
// the pair becomes one disc, in both ways, and the guest has everything on it.
func TestCOWGuest(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1", "2", "3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := onCOW(l, version)
			m.Activate()
			pid := m.WaitUp(0)
			m.Guest("dd if=/dev/urandom of=/root/random bs=64k count=16 2>/dev/null; for i in $(seq 200); do echo $i >/root/$i; done; sync")
			sum := m.Guest("cat /root/* | md5sum")
			refusedBy(t, "uml-disk", l.Run("uml-disk", "cow", "check", m.Jail+"/ubd0"), 111, fmt.Sprintf("held by process %d, the disc is in use", pid))
			equal(t, l.Must("sh", "-c", `uml-disk list guest | awk '$1 == "ubd0" {print $4, $5, $6, $7}'`), fmt.Sprintf("cow ext4 %d %s/ubd0\n", pid, m.Jail))
			l.Must("uml-ctl", "stop", "guest")

			l.Must("uml-disk", "cow", "check", m.Jail+"/ubd0")
			l.Must("uml-disk", "cow", "merge", m.Jail+"/ubd0", "--into", "/run/merged")
			l.Must("uml_moo", m.Jail+"/ubd0", "/run/moo")
			l.Must("cmp", "/run/merged", "/run/moo")
			l.Must("e2fsck", "-fn", "/run/merged")

			// A COW file of the merged disc, and the guest is the same on that.
			l.Must("uml-disk", "cow", "rebase", m.Jail+"/ubd0", "/run/moo")
			m.Set("ubd0", "ubd0,/run/moo")
			equal(t, l.Must("sh", "-c", "uml-disk cow info "+m.Jail+"/ubd0 | awk '$1 == \"own\" {print $2}'"), "0B\n")
			start := func() {
				t.Helper()
				m.Svc("-u")
				m.WaitUp(0)
				equal(t, m.Guest("cat /root/* | md5sum"), sum)
			}
			start()
			m.Guest("echo more >/root/more; sync")
			sum = m.Guest("cat /root/* | md5sum")
			l.Must("uml-ctl", "stop", "guest")

			// Into the backing file; the settings stay, and the COW file is an empty one.
			l.Must("uml-disk", "cow", "merge", m.Jail+"/ubd0", "--in-place")
			l.Must("e2fsck", "-fn", "/run/moo")
			start()
		})
	}
}

// A pair that does not fit, or that a kernel would read wrongly.
func TestCOWUnfit(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ubd1": "cow," + base})
	disk := func(args ...string) lab.Result { return l.Run(append([]string{"uml-disk"}, args...)...) }
	file := m.Jail + "/cow"
	l.Must("sh", "-ec", `umask 022; cd /run; uml-disk create base 40M; touch -d @1700000000 base
		truncate -s 1000001 odd; truncate -s 32K tiny; cp base loose; chmod 666 loose; cp -p base other; touch -d @1700000000 other; truncate -s 50M large
		uml-disk cow create base `+file)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"/run/odd: is 1000001 bytes, no multiple of 4096: ", []string{"create", "/run/odd", m.Jail + "/new"}},
		{"/run/tiny: is 32768 bytes: with a bitmap of one word the guest's kernel hangs", []string{"create", "/run/tiny", m.Jail + "/new"}},
		{"/run/loose: is not root's alone", []string{"create", "/run/loose", m.Jail + "/new"}},
		{file + ": is a COW file itself", []string{"create", file, m.Jail + "/new"}},
		{"is there already", []string{"create", base, file}},
		{"/run/large: is not as large as the disc, 41943040 bytes", []string{"rebase", file, "/run/large"}},
		{"--into NEW, or --in-place", []string{"merge", file}},
		{"/run/nosuch: no such file or directory", []string{"merge", file, "--into", "/run/new", "--backing", "/run/nosuch"}},
		{"/run/large is 52428800 bytes, and was 41943040", []string{"merge", file, "--into", "/run/new", "--backing", "/run/large"}},
	} {
		refusedBy(t, "uml-disk", disk(append([]string{"cow"}, c.args...)...), 100, c.want)
	}
	// What the header of a file in a jail names is not believed.
	l.Must("sh", "-ec", "cd $0; uml-disk clone cow stranger", m.Jail)
	refusedBy(t, "uml-disk", disk("cow", "merge", m.Jail+"/stranger", "--into", "/run/new"), 100, `no setting of guest names a backing file for it, and what a header in a jail names ("/run/base") is not believed`)

	// The backing file was touched, which is mended as the message says.
	l.Must("touch", "-d", "@1700000005", base)
	r := disk("cow", "check", file)
	refusedBy(t, "uml-disk", r, 100, "was changed at @1700000005, and is known as of @1700000000")
	_, mend, _ := strings.Cut(r.Err, "after cp without -p: ")
	mend, _, _ = strings.Cut(mend, ";")
	l.Must("sh", "-c", mend)
	equal(t, l.Must("uml-disk", "cow", "check", file), file+": sound\n")
	l.Must("uml-disk", "cow", "rebase", "--unsafe", file, "/run/other")
	l.Must("uml-disk", "cow", "check", file, "--backing", "/run/other")
	// The setting was not changed with it: nobody is told to touch the backing file that is set.
	l.Must("touch", "-d", "@1700000007", "/run/other")
	l.Must("uml-disk", "cow", "rebase", file, "/run/other", "--unsafe")
	for _, what := range []string{"check", "merge --into /run/new"} {
		refusedBy(t, "uml-disk", disk(append(append([]string{"cow"}, strings.Fields(what)...), file)...), 100,
			fmt.Sprintf(`%s: its header names the backing file "/run/other", and not "/run/base" (mend %s/settings/ubd1, or if they are the same: uml-disk cow rebase --unsafe %[1]s /run/base)`, file, m.Dir))
	}
	equal(t, l.Must("sh", "-c", "uml-disk cow info "+file+" | grep -c 'touch -d' || true"), "0\n")

	// A page is half written: said, and mended; the disc stays the same.
	l.Must("uml-disk", "cow", "rebase", "--unsafe", file, base)
	l.Must("sh", "-ec", `cd $0; printf '\003' | dd of=cow bs=1 seek=9000 conv=notrunc 2>/dev/null
		head -c 1024 /dev/urandom | dd of=cow bs=512 seek=$((20480/512 + (9000-8192)*8)) conv=notrunc 2>/dev/null
		uml_moo cow /run/before`, m.Jail)
	refusedBy(t, "uml-disk", disk("cow", "check", file), 100, "has 1 pages of which only a part was written")
	l.Must("uml-disk", "cow", "check", "--mend", file)
	l.Must("uml-disk", "cow", "check", file)
	l.Must("uml-disk", "cow", "merge", file, "--into", "/run/after")
	l.Must("cmp", "/run/before", "/run/after")

	l.Must("uml-disk", "cow", "create", "/run/other", "/run/mine")
	// A filesystem that is sound, and that the kernel reads wrongly: said, unless the machine allows it.
	l.Must("sh", "-ec", "cd /run; truncate -s 40M k; mkfs.ext4 -q -b 1024 k; uml-disk cow create k "+m.Jail+"/small 2>&1 | grep -q 'warning: k: ext4 with blocks of 1024 bytes.*; a start will refuse it'")
	m.Set("ubd2", "small,/run/k")
	r = disk("cow", "check", m.Jail+"/small")
	if want := m.Jail + "/small: ext4 with blocks of 1024 bytes: the kernel's COW driver reads it wrongly"; r.Code != 100 || !strings.Contains(r.Err, want) {
		t.Errorf("exit %d, said %s%s", r.Code, r.Out, r.Err)
	}
	m.Set("cow-unsafe", "allow")
	l.Must("uml-disk", "cow", "check", m.Jail+"/small")

	// Another machine has the same backing file.
	other := l.Machine("other", lab.Settings{"ubd1": "cow," + base})
	l.Must("uml-disk", "cow", "create", base, other.Jail+"/cow")
	refusedBy(t, "uml-disk", disk("cow", "merge", file, "--in-place"), 100, "/run/base: is the backing file of other's cow too")
	refusedBy(t, "uml-disk", disk("grow", base, "50M"), 100, "/run/base: is the backing file of guest's cow, other's cow, which would be worthless with another size")
	refusedBy(t, "uml-disk", disk("shrink", base, "30M"), 100, "which would be worthless with another size")
	l.Must("uml-disk", "trim", base)
	l.Must("uml-disk", "cow", "check", other.Jail+"/cow")
	// Outside of a jail a header's word is not enough to write to what it names.
	refusedBy(t, "uml-disk", disk("cow", "merge", "/run/mine", "--in-place"), 100, "only its header names a backing file (if that is right: --backing /run/other)")
	// A machine's only COW file may lie anywhere, and is no other one.
	l.Must("sh", "-ec", "rm $1/cow; mkdir /run/cows; mv $0 /run/cows/cow; echo /run/cows/cow,/run/base >$2/settings/ubd1; chown 0:0 /run/cows/cow; rm $3/settings/ubd1", file, other.Jail, m.Dir, other.Dir)
	l.Must("uml-disk", "cow", "merge", "/run/cows/cow", "--in-place", "--backing", base)
}

// A merge in place that does not come to its end says what that means, whatever ended it, and
// is said again.
func TestCOWHalfMerged(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Must("sh", "-ec", `cd /run; mkdir small; mount -t tmpfs -o size=1M none small; truncate -s 8M small/base
		head -c 8M /dev/urandom >disc; uml-disk convert disc cow --to cow --backing small/base`)
	merge := []string{"uml-disk", "cow", "merge", "/run/cow", "--in-place", "--backing", "/run/small/base"}
	refusedBy(t, "uml-disk", l.Run(merge...), 111, "no space left on device: no guest can have the pair until this is said again and comes to its end")
	refusedBy(t, "uml-disk", l.Run("uml-disk", "cow", "check", "/run/cow"), 100, "which was not finished (try: uml-disk cow merge /run/cow --in-place)")
	l.Must("mount", "-o", "remount,size=16M", "/run/small")
	l.Must(merge...)
	l.Must("cmp", "/run/disc", "/run/small/base")
}
