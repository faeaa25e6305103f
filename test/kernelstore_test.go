package test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uml/test/lab"
)

// What cannot be is refused, with a word that says what can, and changes nothing.
func TestKernelRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "transport": "vector"})
	store(l, m)
	m.Set("kernel", "linux")
	in := filepath.Join(l.Dir, "kernels")
	l.Must("sh", "-ec", `cd /run; echo x >text; cp /usr/bin/linux.uml cut; truncate -s 5M cut; mkdir mods; printf '!<arch>\nx' >bad.deb; mkfifo fifo
		mkdir open; chmod 777 open`)
	state := func() string { return l.Must("sh", "-c", "cd $0; ls -A . */; md5sum */*; readlink default", in) }
	before := state()
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 100, "no command"},
		{"add /usr/bin/linux.uml", 100, "it takes FILE|PACKAGE NAME, and was given 1"},
		{"add /usr/bin/linux.uml default", 100, `"default" is no kernel's name`},
		{"add /usr/bin/linux.uml ../x", 100, `"../x" is no kernel's name`},
		{"add /usr/bin/linux.uml debian", 100, "kernels/debian: is there already (take another name"},
		{"add /run/text x", 100, "/run/text: "},
		{"add /run/cut x", 100, "/run/cut: "},
		{"add /run/bad.deb x", 100, "/run/bad.deb: is no Debian package"},
		{"add /run/fifo x", 100, "/run/fifo: is a fifo"},
		{"add /run/none x", 100, "/run/none: no such file"},
		{"add /bin/busybox x", 100, "is a program, but not a user-mode Linux kernel"},
		{"add coreutils x", 100, "the package coreutils: has no user-mode Linux kernel in it"},
		{"add no-such-package x", 100, "apt-get download no-such-package: "},
		{"add --modules /run/mods /usr/bin/linux.uml x", 100, "the kernel's modules: "},
		{"--kernels /run/open/k add /usr/bin/linux.uml x", 100, "others than root can change it"},
		{"--kernels /run/a,b add /usr/bin/linux.uml x", 100, "the kernel cannot be given a name with"},
		{"default none", 100, "kernels/none: there is no such kernel (there are [debian])"},
		{"roll none", 100, "there is no such kernel"},
		{"roll debian nobody", 100, "machines/nobody: there is no such machine"},
		{"remove none", 100, "there is no such kernel"},
		{"--kernels /run/nowhere default debian", 100, "there is no such kernel, nor any (try: uml-kernel add"},
		{"list x", 100, "was given 1"},
	} {
		refusedBy(t, "uml-kernel", l.Run(append([]string{"uml-kernel"}, strings.Fields(c.args)...)...), c.code, c.want)
		same(t, before, state())
	}
	// Another that is at work has the store.
	l.Must("sh", "-ec", "exec 9>$0/.lock; flock 9; uml-kernel add /usr/bin/linux.uml x 2>&1 | grep -q 'another uml-kernel is changing it'", in)
	// A machine that cannot be read might have it; one whose other settings have faults has not.
	l.Must("uml-kernel", "add", "/usr/bin/linux.uml", "other")
	m.Set("mem", "x")
	l.Must("uml-kernel", "remove", "other")
	m.Unset("mem")
	// The last one goes with the default.
	l.Must("uml-kernel", "remove", "debian")
	equal(t, l.Must("sh", "-c", "cd $0; ls", in), "")
	equal(t, l.Must("uml-kernel", "list", "--json"), "[]\n")
}

// However it ends, a kernel is there whole or not at all, and the next one cleans up.
func TestKernelKilled(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	in := filepath.Join(l.Dir, "kernels")
	there := 0
	for i := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i)*20*time.Millisecond)
		l.Cmd(ctx, "/", "uml-kernel", "add", "user-mode-linux", fmt.Sprintf("k%d", i)).Run()
		cancel()
		l.Wait("its end", func() bool {
			return len(l.Processes(func(s lab.Status) bool { return s["Name"] == "uml-kernel" })) == 0
		})
		// Whole: all four files, and what the manifest says of the image.
		out := l.Must("sh", "-ec", `cd $0 2>/dev/null || exit 0; for k in k*; do test -d $k || continue; set -- $k/*; test $# = 4; grep -q $(sha256sum <$k/linux | cut -d' ' -f1) $k/manifest.json; e2fsck -fn $k/modules.img >/dev/null 2>&1; echo $k; done`, in)
		there = strings.Count(out, "\n")
	}
	l.Must("uml-kernel", "add", "user-mode-linux", "last")
	equal(t, l.Must("sh", "-c", "cd $0; ls -A | grep -c -v -e '^k' -e '^last$' -e '^default$' -e '^.lock$'; ls -d last/modules.img", in), "0\nlast/modules.img\n")
	t.Logf("%d of 12 were done before they were killed", there)
}
