package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"uml/test/lab"
)

// A knownBug is one that another program of this kind had, tried on ours. The
// shell script make prepares the machine directory that is its working directory;
// $OUT is the outside, $L a directory of root's that all can enter. Then a
// command is run in the jail. Code 0: it ran, and look is what it found there.
type knownBug struct {
	name string
	set  lab.Settings
	make string
	with string // shell words before the start
	code int
	want string // of standard error
	look func(t *testing.T, look string)
}

var knownBugs = []knownBug{
	// A file was copied over a link in the user's directory, as root.
	{name: "CVE-2026-1386 firecracker", make: "ln -sf $OUT/linux jail/linux", code: 100, want: "jail/linux: is a symbolic link"},
	// Written, then given away by its name.
	{name: "firecracker-5956", set: lab.Settings{"swap": "1M"}, make: "ln -s $OUT/swap jail/.swap.new", look: shows("file /swap * 100600")},
	// Links were refused where only the administrator can have made them.
	{name: "firecracker-5959", make: "cp jail/linux $L/image; ln -s image $L/link; echo $L/link >settings/kernel", look: shows("file /linux *")},
	// A file that is mounted into the jail on the host was not there.
	{name: "firecracker-1093", set: lab.Settings{"ubd1": "ubd1 flags=r"},
		make: "truncate -s 1M $L/shared; touch jail/ubd1; mount --bind $L/shared jail/ubd1", look: shows("file /ubd1 * 100644")},
	// The second start found what the first had left.
	{name: "mitos-525", make: "uml-jail -- $L/hostile look >/dev/null; test ! -e jail/old_root", look: shows("file /linux *")},
	// Modes came out by the caller's umask.
	{name: "firecracker-1802", set: lab.Settings{"swap": "1M"}, with: "umask 0777;",
		look: shows("file / * 40755", "file /dev * 40755", "file /dev/null * 20666", "file /tmp * 40700", "file /uml * 40700", "file /swap * 100600")},
	// Device nodes were on the jail's own filesystem.
	{name: "firecracker-containerd-345", make: "mv jail x; mkdir jail; mount -t tmpfs -o nodev,mode=755 none jail; cp -a x/. jail", look: shows("file /dev/null * 20666")},
	{name: "kata-runtime-2512", make: "mv jail x; mkdir jail; mount -t tmpfs -o noexec,mode=755 none jail; cp -a x/. jail", code: 100, want: "mounted noexec"},
	// The place in the jail was outside of it.
	{name: "nsjail-292", set: lab.Settings{"ubd1": "../lock"}, code: 100, want: "settings/ubd1: "},
	{name: "nsjail-292 absolute", set: lab.Settings{"ubd1": "/tmp/../etc/passwd flags=r"}, code: 100, want: "settings/ubd1: "},
	// The last component was followed.
	{name: "nsjail-325", make: "ln -s $OUT/dir jail/uml", code: 100, want: "jail/uml: is not a directory"},
	{name: "nsjail-325 disc", make: "ln -sf $OUT/disc jail/ubd0", code: 100, want: "jail/ubd0: is a symbolic link"},
	{name: "nsjail-283", look: lacks("file /proc")},
	// The program could be overwritten from inside.
	{name: "CVE-2019-5736 runc", make: "chmod 777 jail/linux", look: shows("file /linux * 100777")},
	// The user's own directories were mounted on, where links lay in them.
	{name: "CVE-2015-1335 lxc", set: lab.Settings{"ubd1": "d/disc"}, make: "ln -s $OUT/dir jail/d", code: 100, want: "jail/d/disc: leads over a symbolic link"},
	{name: "CVE-2017-5180 firejail", make: links("tmp"), look: shows("file /tmp * 40700")},
	{name: "firejail-1158", make: links("dev tmp"), look: shows("file /tmp * 40700", "file /dev * 40755")},
	{name: "CVE-2019-19921 runc", make: links("proc"), look: lacks("file /proc")},
	{name: "CVE-2021-30465 runc", make: links("tmp uml/guest"), code: 100, want: "jail/uml/guest: is not the user's own directory"},
	{name: "CVE-2023-27561 runc", make: links("proc sys"), look: lacks("file /proc", "file /sys")},
	{name: "CVE-2023-28642 runc", make: links("proc proc.d"), look: lacks("file /proc")},
	{name: "CVE-2025-31133 runc", make: "mkdir jail/dev; ln -s $OUT/disc jail/dev/null", look: shows("file /dev/null * 20666")},
	{name: "CVE-2025-52565 runc", make: "mkdir -p jail/dev/pts; ln -s $OUT/disc jail/dev/pts/0; ln -s $OUT/disc jail/dev/console", look: shows("file /dev/pts/ptmx * 20666")},
	{name: "CVE-2025-52881 runc", make: "mkdir -p jail/proc/self/attr; ln -s $OUT/disc jail/proc/self/attr/exec", look: lacks("file /proc")},
	{name: "CVE-2026-41579 runc", make: links("dev"), look: shows("file /dev * 40755", "file /dev/null * 20666")},
	// Files were made at the far end of a link.
	{name: "CVE-2024-45310 runc", make: "ln -s $OUT/new jail/uml", code: 100, want: "jail/uml: is not a directory"},
	{name: "GHSA-vp62-88p7-qqf5 moby", set: lab.Settings{"swap": "1M"}, make: "ln -s $OUT/new jail/swap", code: 100, want: "jail/swap: is a symbolic link"},
	{name: "libioc-76", set: lab.Settings{"swap": "1M"}, make: "ln -s $OUT/swap jail/swap", code: 100, want: "jail/swap: is a symbolic link"},
	// Owners were changed at the far end of a link, or by a second name.
	{name: "CVE-2018-6954 systemd", set: lab.Settings{"ubd1": "d/guest/pid"}, make: links("d"), code: 100, want: "jail/d/guest/pid: leads over a symbolic link"},
	{name: "CVE-2017-18925 opentmpfiles", make: "chown 0 jail; ln -s $OUT/dir jail/uml", code: 100, want: "jail/uml: is not a directory"},
	{name: "opentmpfiles-4", set: lab.Settings{"swap": "1M"}, make: "ln $OUT/swap jail/swap", code: 100, want: "has 2 names"},
	{name: "systemd-7736", make: "rm jail/ubd0; ln $OUT/disc jail/ubd0", code: 100, want: "jail/ubd0: has 2 names"},
	{name: "systemd-13052", set: lab.Settings{"ubd1": "d/disc"},
		make: "mkdir jail/d; truncate -s 1M jail/d/disc; chown -R guest jail/d; chown daemon jail/d/disc", code: 100, want: "jail/d/disc: belongs to user 1"},
	// A slash at the end, and a link that may not be followed is.
	{name: "CVE-2026-39822 go", set: lab.Settings{"ubd1": "link/"}, make: "ln -s $OUT/disc jail/link", code: 100, want: "link/"},
	{name: "CVE-2026-39822 go, kernel", set: lab.Settings{"kernel": "link/"}, make: "ln -s $OUT/linux jail/link", code: 100, want: "link/"},
	// What a caller has came through.
	{name: "CVE-2022-29162 runc", set: lab.Settings{"seccomp": "off"}, with: "setpriv --inh-caps=+chown,+dac_override,+sys_admin --ambient-caps=+chown,+dac_override,+sys_admin",
		look: shows("capabilities 0 0 0 0 0 <nil>")},
	{name: "CVE-2024-21626 runc", with: "exec 3</ 4</proc 7<$OUT 9<$OUT/disc; cd $OUT;",
		look: shows("cwd / <nil>", "descriptors 9")}, // with the lock, the disc, the terminal, the box
	{name: "jail_uml groups", with: "setpriv --groups 0,4,27", look: shows("id * * 0")},
	{name: "runc-4195", set: lab.Settings{"nofile": "300"}, with: "ulimit -Sn 64;", look: shows("nofile 300")},
	{name: "runc-5082", with: "ulimit -n 8;", code: 111, want: "too many open files"},
	// No user, and all was root's.
	{name: "jail_uml", set: lab.Settings{"user": "\n"}, code: 100, want: "settings/user: "},
	{name: "jail_uml 0", set: lab.Settings{"user": "0"}, code: 100, want: "settings/user: "},
	{name: "s6-setuidgid", set: lab.Settings{"user": ":"}, code: 100, want: "settings/user: "},
	{name: "firecracker uid 0", set: lab.Settings{"user": "toor"}, make: "sed '1i toor:x:0:0::/:/bin/sh' /etc/passwd >x; cat x >/etc/passwd", code: 100, want: "settings/user: "},
	// The disc was made everybody's.
	{name: "jailer.pl", make: "chmod 600 jail/ubd0", look: shows("file /ubd0 * 100600")},
}

// links makes links to the outside of these names in the jail.
func links(names string) string {
	return "mkdir jail/uml; chown guest jail/uml; for n in " + names + "; do ln -s $OUT/dir jail/$n; done"
}

// has looks for lines that begin with these words; * is any one word.
func shows(lines ...string) func(*testing.T, string) {
	return func(t *testing.T, look string) {
		t.Helper()
		for _, l := range lines {
			if !found(l, look) {
				t.Errorf("no %q in\n%s", l, look)
			}
		}
	}
}

func lacks(lines ...string) func(*testing.T, string) {
	return func(t *testing.T, look string) {
		t.Helper()
		for _, l := range lines {
			if found(l, look) {
				t.Errorf("%q is in\n%s", l, look)
			}
		}
	}
}

func found(want, look string) bool {
	words := strings.Fields(want)
	for line := range strings.Lines(look) {
		f := strings.Fields(line)
		if len(f) >= len(words) && slices.EqualFunc(words, f[:len(words)], func(w, f string) bool { return w == f || w == "*" }) {
			return true
		}
	}
	return false
}

func TestKnownBugs(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	hostile := buildHostile(t, l)
	out := makeOutside(t, l)
	model := l.Machine("guest", nil)
	sh(t, l, "cd "+model.Jail+"; rm ubd0; truncate -s 1M ubd0; chown guest ubd0") // a small one will do
	host := filepath.Join("/proc", strconv.Itoa(l.PID), "root")
	t.Run("CVE-2016-9962 runc", func(t *testing.T) { caught(t, l, hostile, l.Machine("caught", nil)) })
	for n, bug := range knownBugs {
		t.Run(bug.name, func(t *testing.T) {
			dir := filepath.Join(l.Dir, strconv.Itoa(n), "guest")
			env := fmt.Sprintf("OUT=%s; L=%s; ", out.dir, dir)
			var settings strings.Builder
			for name, value := range bug.set {
				fmt.Fprintf(&settings, "echo '%s' >settings/%s; ", value, name)
			}
			sh(t, l, fmt.Sprintf("mkdir -p %[1]s; cp -al %[2]s/. %[1]s; cd %[1]s; ln %[3]s hostile; %[4]s"+
				"cp -a --remove-destination %[2]s/jail/ubd0 jail; %[5]s%[6]s",
				dir, model.Dir, hostile, settings.String(), env, bug.make))
			out.remember(t)
			before, image := read(t, host+"/proc/1/mountinfo"), imageOf(host+dir)
			r := l.RunIn(dir, "sh", "-c", env+bug.with+" uml-jail "+dir+" -- "+hostile+" look")
			if r.Code != bug.code || !strings.Contains(r.Err, bug.want) || strings.Contains(r.Err, "goroutine") {
				t.Errorf("exit %d, want %d, with %q in:\n%s", r.Code, bug.code, bug.want, r.Err)
			}
			if bug.code == 0 && bug.look != nil {
				bug.look(t, r.Out)
			}
			if seen := out.seen(r.Out); len(seen) > 0 {
				t.Errorf("seen inside: %q", seen)
			}
			out.untouched(t)
			same(t, before, read(t, host+"/proc/1/mountinfo"))
			if imageOf(host+dir) != image {
				t.Error("the kernel image was written from inside")
			}
		})
	}
}

// caught: between the change of user and the exec a start is the user's to stop,
// and still has all of root's memory and descriptors. The process that stops it in
// that moment must get nothing of it.
func caught(t *testing.T, l *lab.Lab, hostile string, m *lab.Machine) {
	for range 500 {
		r := m.Run("sh", "-c", "{ sleep 0.02; exec uml-jail -- /bin/busybox true; } & setpriv --reuid=caught --clear-groups "+hostile+" catch $! >caught; wait")
		got := read(t, m.Dir+"/caught")
		t.Logf("%d %s %q", r.Code, r.Err, got)
		if strings.HasPrefix(got, "uml-jail:") {
			if got != "uml-jail: \n" {
				t.Errorf("the user got hold of a start: %s", got)
			}
			return
		}
	}
	t.Error("no start was caught in the moment")
}

func sh(t *testing.T, l *lab.Lab, script string) {
	t.Helper()
	if r := l.Run("sh", "-ec", script); r.Code != 0 {
		t.Fatalf("%s\nexit %d\n%s%s", script, r.Code, r.Out, r.Err)
	}
}

// imageOf is the kernel image of a machine; none has a link there that can be followed.
func imageOf(dir string) string {
	text, err := os.ReadFile(dir + "/jail/linux")
	if err != nil {
		return err.Error()
	}
	return string(text)
}
