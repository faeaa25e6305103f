package test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"uml/test/lab"
)

// All that is wrong, and all that is in use, is said at once, before anything is made.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	l, image := estateLab(t)
	l.Machine("other", lab.Settings{"ip4": "192.0.2.40/30", "mac": "fe:fd:00:00:00:77"})
	l.Must("sh", "-ec", `ln -s /nowhere "$UML_SERVICE/uml-linked"; ip tuntap add tap_taken mode tap; groupadd groupie
		cp /run/templates/small@*.img /run/templates/group@1.img; chmod 664 /run/templates/group@1.img
		head -c 1000 /dev/zero >/run/templates/tiny@1.img; printf 'OOOM\0\0\0\3' >/run/templates/cow@1.img; truncate -s 1M /run/templates/cow@1.img
		cp /run/templates/small@*.img /run/templates/1k@1.img; mkfs.ext4 -q -F -b 1024 /run/templates/1k@1.img; truncate -s 1M /run/templates/zeros@1.img; mkfifo /run/templates/fifo@1.img; ln -s /etc/shadow /run/templates/link@1.img`)
	before := estateOf(l)
	small := []string{"--template", "small"}
	for _, test := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"new"}, 100, []string{"it takes 1 names"}},
		{[]string{"new", ""}, 100, []string{"is no machine name"}},
		{[]string{"new", "../x"}, 100, []string{"is no machine name"}},
		{[]string{"new", ".new"}, 100, []string{"is no machine name"}},
		{[]string{"new", "a b"}, 100, []string{"is no machine name"}},
		{[]string{"new", "a\nb"}, 100, []string{"is no machine name"}},
		{[]string{"new", strings.Repeat("a", 64)}, 100, []string{"is no machine name"}},
		{[]string{"new", "Web.1", "--template", "small"}, 100, []string{"is no name of an account"}},
		{[]string{"new", "root", "--template", "small"}, 100, []string{`account "root" is there already`}},
		{[]string{"new", "groupie", "--template", "small"}, 100, []string{`group "groupie" is there already`}},
		{[]string{"new", "linked", "--template", "small"}, 100, []string{"uml-linked: is there already"}},
		{[]string{"new", "taken", "--template", "small", "--ip4", "192.0.2.50"}, 100, []string{"tap_taken"}},
		{[]string{"new", "web"}, 100, []string{"of which template?"}},
		{[]string{"new", "web", "--template", "zeros"}, 100, []string{"its filesystem"}},
		{[]string{"new", "web", "--template", "nosuch"}, 100, []string{`there is no template "nosuch" (there are: 1k cow fifo group link small tiny zeros`}},
		{[]string{"new", "web", "--template", "group"}, 100, []string{"group@1.img"}},
		{[]string{"new", "web", "--template", "tiny"}, 100, []string{"are no filesystem"}},
		{[]string{"new", "web", "--template", "cow"}, 100, []string{"is a COW file"}},
		{[]string{"new", "web", "--template", "fifo"}, 100, []string{"fifo"}},
		{[]string{"new", "web", "--template", "link", "--cow"}, 100, []string{"shadow"}},
		{[]string{"new", "web", "--template", "1k", "--cow"}, 100, []string{"leave --cow out"}},
		{append([]string{"new", "web", "--cow", "--disc", "1G"}, small...), 100, []string{"a COW disc is as large as its template, 64M"}},
		{append([]string{"new", "web", "--disc", "1M"}, small...), 100, []string{"1M is smaller than the template, 64M"}},
		{append([]string{"new", "web", "--disc", "big"}, small...), 100, []string{"is not a size"}},
		{append([]string{"new", "web", "--kernel", "nosuch"}, small...), 100, []string{`kernel "nosuch"`}},
		{append([]string{"new", "web", "--kernel", "/etc/passwd"}, small...), 100, []string{"/etc/passwd"}},
		{append([]string{"new", "web", "--key", "/etc/passwd"}, small...), 100, []string{"/etc/passwd: line 1 is no public key"}},
		{append([]string{"new", "web", "--key", l.Key()}, small...), 100, []string{"is a private key"}},
		{append([]string{"new", "web", "--key", "/dev/null"}, small...), 100, []string{"has no key in it"}},
		{append([]string{"new", "web", "--password-fd", "77"}, small...), 100, []string{"--password-fd 77"}},
		{append([]string{"new", "web", "--set", "user=root"}, small...), 100, []string{"--set user=root"}},
		{append([]string{"new", "web", "--set", "colour=red"}, small...), 100, []string{"colour: is not a setting"}},
		{append([]string{"new", "web", "--dns", "127.0.0.1"}, small...), 100, []string{"is no address of a name server"}},
		{append([]string{"new", "web", "--net", "bridged nosuch", "--ip4", "192.0.2.60"}, small...), 100, []string{"is no bridge"}},
		{append([]string{"new", "web", "--ip4", "192.0.2.60", "--gateway", "192.0.2.1/24"}, small...), 100, []string{"a gateway is for bridged guests"}},
		{append([]string{"new", "web", "--ip4", lab.HostIP4}, small...), 100, []string{lab.HostIP4}},
		{append([]string{"new", "web", "--ip4", lab.OtherIP4}, small...), 100, []string{"is the router"}},
		{[]string{"new", "other", "--template", "nosuch", "--mem", "64", "--ip4", "192.0.2.41", "--set", "mac=fe:fd:00:00:00:77"}, 100,
			[]string{"other: is there already", `account "other" is there already`, "no template", `mem: "64" is not a size`}},
		{append([]string{"new", "web", "--ip4", "192.0.2.41", "--ip4", "192.0.2.61", "--set", "mac=fe:fd:00:00:00:77"}, small...), 100,
			[]string{"192.0.2.41: machine other has 192.0.2.40/30", "hardware address fe:fd:00:00:00:77: machine other has it"}},
	} {
		r := machine(l, test.args...)
		if r.Code != test.code || r.Out != "" {
			t.Errorf("%q: exit %d, printed %q: %s", test.args, r.Code, r.Out, r.Err)
		}
		for _, want := range test.want {
			if !strings.Contains(r.Err, want) {
				t.Errorf("%q: no %q in\n%s", test.args, want, r.Err)
			}
		}
		for line := range strings.Lines(r.Err) {
			if !strings.HasPrefix(line, "uml-machine: fatal: ") {
				t.Errorf("%q: said %q", test.args, line)
			}
		}
	}
	equal(t, estateOf(l), before)
	r := machine(l, "new", "web", "--template", "small", "--cow", "--ip4", "192.0.2.61", "--swap", "16M", "--activate", "--dry-run")
	for _, want := range []string{"useradd --system", "COW file of " + image, "setting  swap: 16M", "/dev/ubdp", "vec0 has 192.0.2.61/32", "move     to " + l.Machines + "/web", "uml-web"} {
		if r.Code != 0 || !strings.Contains(r.Out, want) {
			t.Errorf("dry run: %d, no %q in\n%s%s", r.Code, want, r.Out, r.Err)
		}
	}
	equal(t, estateOf(l), before)
}

// What fails in the middle takes everything back: no room, no user id left, a template that is no
// filesystem, an interrupt. And two at once of one name, or of one address, are one machine.
func TestNewFails(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	l.Must("useradd", "--system", "--user-group", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "umllog")
	l.Must("sh", "-ec", `truncate -s 32M /run/templates/noise@1.img; dd if=/dev/urandom of=/run/templates/noise@1.img bs=1M count=4 conv=notrunc status=none; chmod 444 /run/templates/noise@1.img
		cp /run/templates/small@*.img /run/templates/broken@1.img; dd if=/dev/urandom of=/run/templates/broken@1.img bs=4096 seek=1 count=600 conv=notrunc status=none`)
	before := estateOf(l)
	r := machine(l, "new", "noise", "--template", "noise")
	refusedBy(t, "uml-machine", r, 100, "its filesystem")
	equal(t, estateOf(l), before)
	if r := machine(l, "new", "broken", "--template", "broken"); r.Code == 0 {
		t.Errorf("a broken filesystem: %+v", r)
	}
	equal(t, estateOf(l), before)

	l.Must("sh", "-ec", "cp -a /etc/login.defs /etc/login.keep; sed -i -E 's/^SYS_(.)ID_MAX.*/SYS_\\1ID_MAX 10/; s/^SYS_(.)ID_MIN.*/SYS_\\1ID_MIN 10/' /etc/login.defs")
	r = machine(l, "new", "web", "--template", "small")
	if r.Code != 100 || !strings.Contains(r.Err, "useradd: ") {
		t.Errorf("no user id: %+v", r)
	}
	l.Must("mv", "/etc/login.keep", "/etc/login.defs")
	equal(t, estateOf(l), before)

	r = l.Run("timeout", "-s", "TERM", "0.4", "uml-machine", "-q", "new", "web", "--template", "small")
	if !strings.Contains(r.Err, "ended by a signal; nothing was changed") {
		t.Errorf("TERM: %+v", r)
	}
	equal(t, estateOf(l), before)

	var work sync.WaitGroup
	results := make([]lab.Result, 4)
	for i, args := range [][]string{{"web", "--ip4", "192.0.2.31"}, {"web", "--ip4", "192.0.2.32"}, {"letters", "--ip4", "192.0.2.33"}, {"post", "--ip4", "192.0.2.33"}} {
		work.Go(func() { results[i] = machine(l, append([]string{"new", "--template", "small", "--cow"}, args...)...) })
	}
	work.Wait()
	codes := map[int]int{}
	for i, r := range results {
		codes[r.Code]++
		if r.Code == 111 && !strings.Contains(r.Err, "another uml-machine is at work on it") || r.Code == 100 && !strings.Contains(r.Err, "192.0.2.33: machine ") {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if codes[0] != 2 || codes[111] != 1 || codes[100] != 1 {
		t.Errorf("of two of one name and two of one address: exit codes %v: %+v", codes, results)
	}
	for _, name := range []string{"web", "letters", "post"} {
		if _, err := os.Stat(filepath.Join(l.Machines, name)); err == nil {
			l.Must("uml-machine", "remove", name, "--yes")
		}
	}
	equal(t, estateOf(l), before)

	// A machines root that fills up while the appliance writes, and one that has no room at all.
	for _, test := range []struct{ size, want string }{{"10M", "MiB left, and this takes"}, {"100M", ""}} {
		root := "/run/small" + test.size
		l.Must("sh", "-ec", "mkdir -p $0; mount -t tmpfs -o mode=755,size=$1 none $0", root, test.size)
		if test.want == "" {
			l.Must("sh", "-ec", "mkdir $0/f; { until [ -e $0/.new/web/jail/ubd0 ]; do sleep 0.01; done; cat /dev/zero; } >$0/f/x 2>/dev/null & exec true", root)
		}
		r := l.Run("uml-machine", "-q", "--machines", root, "new", "web", "--template", "small", "--cow", "--disc", "64M")
		if r.Code != 111 && test.want != "" || r.Code == 0 || !strings.Contains(r.Err, test.want) {
			t.Errorf("%s: %+v", test.size, r)
		}
		if got := l.Must("sh", "-c", "ls -A $0 $0/.new 2>/dev/null | grep -v -e : -e '^$' -e '^f$' -e '^.new$' || :; getent passwd web || :", root); got != "" {
			t.Errorf("%s: left %s", test.size, got)
		}
	}
}
