package test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"uml/test/lab"
)

// A guest's kernel as the host sees it: what it is, what it holds, what it can
// reach. The lists are whole: anything more is too much.
func TestKernelSeen(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	host := l.Must("cat", "/proc/1/mountinfo")
	m := l.Machine("guest", lab.Settings{"ip4": address, "swap": "8M"})
	// A supervisor that leaves things open, ignored and set.
	m.Activate("sh", "-c", `trap "" PIPE USR1; umask 0; X=1 exec "$@" 7</etc/passwd`, "-")
	pid := m.WaitUp(0)
	m.WaitLog("guest up")

	t.Run("privileges", func(t *testing.T) { privileges(t, l.Status(pid), fmt.Sprint(m.UID)) })
	t.Run("descriptors", func(t *testing.T) { descriptors(t, l, m, pid) })
	t.Run("environment", func(t *testing.T) {
		if env, err := os.ReadFile(l.Proc(pid, "environ")); err != nil || string(env) != "TMPDIR=/tmp\x00" {
			t.Errorf("got %q, %v", env, err)
		}
	})
	t.Run("root", func(t *testing.T) {
		files := l.Must("sh", "-c", fmt.Sprintf("cd /proc/%d/root && find . -printf '%%p %%y %%#m %%u\n' | sort", pid))
		equal(t, files, rootListing)
	})
	t.Run("mounts", func(t *testing.T) { mounts(t, l, m, pid) })
	t.Run("limits", func(t *testing.T) {
		limits, err := os.ReadFile(l.Proc(pid, "limits"))
		for _, want := range []string{`Max core file size +1 +1 `, `Max processes +4096 +4096 `, `Max open files +1024 +1024 `} {
			if !regexp.MustCompile(want).Match(limits) {
				t.Errorf("no %q in %v\n%s", want, err, limits)
			}
		}
	})
	if now := l.Must("cat", "/proc/1/mountinfo"); now != host {
		t.Errorf("the host sees mounts of the guest:\n%s", now)
	}
}

// privileges: what the kernel itself does to its signals is not ours (its
// console library ignores SIGHUP and blocks SIGPIPE).
func privileges(t *testing.T, s lab.Status, id string) {
	ids, none := strings.Join([]string{id, id, id, id}, "\t"), "0000000000000000"
	for field, want := range map[string]string{
		"Uid": ids, "Gid": ids, "Groups": "", "NoNewPrivs": "1", "Umask": "0077",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		"SigIgn": "0000000000000001", "SigBlk": "0000000000001000",
	} {
		if got, ok := s[field]; !ok || got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
}

// descriptors: the locks and standard ones are from outside the jail; the others
// the kernel opened itself, in the jail.
func descriptors(t *testing.T, l *lab.Lab, m *lab.Machine, pid int) {
	list := l.Must("sh", "-c", fmt.Sprintf("cd /proc/%d/fd && for f in *; do echo $f $(readlink $f); done", pid))
	var ours []string
	for line := range strings.Lines(list) {
		fd, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case fd == "0" || fd == "1" || fd == "2":
			ours = append(ours, fd+" "+file)
		case strings.HasPrefix(file, l.Dir):
			ours = append(ours, file)
		case !regexp.MustCompile(`^((/room)?(/ubd0|/dev/(null|net/tun|ptmx|pts/\d+)|/tmp/.* \(deleted\))|(anon_inode|socket|pipe):.*)$`).MatchString(file):
			t.Errorf("descriptor %s is %s", fd, file)
		}
	}
	slices.Sort(ours)
	equal(t, strings.Join(ours, "\n"), strings.ReplaceAll(`DIR/machines/guest/jail/swap
DIR/machines/guest/jail/ubd0
DIR/machines/guest/lock
0 /dev/null
1 DIR/guest.log
2 DIR/guest.log`, "DIR", l.Dir))
}

const rootListing = `. d 0755 root
./annex d 0755 root
./dev d 0755 root
./dev/net d 0755 root
./dev/net/tun c 0666 root
./dev/null c 0666 root
./dev/ptmx c 0666 root
./dev/pts d 0755 root
./dev/pts/0 c 0600 guest
./dev/pts/ptmx c 0666 root
./lib d 0755 root
./lib/x86_64-linux-gnu d 0755 root
./lib/x86_64-linux-gnu/libc.so.6 f 0755 root
./lib64 d 0755 root
./lib64/ld-linux-x86-64.so.2 f 0755 root
./linux f 0755 guest
./swap f 0600 guest
./tmp d 0700 guest
./ubd0 f 0644 guest
./uml d 0700 guest
./uml/guest d 0700 guest
./uml/guest/mconsole s 0700 guest
./uml/guest/pid f 0600 guest
`

// mounts: the whole list, each with its place on the host, its own flags and, of
// those that the jail makes, the filesystem's options.
func mounts(t *testing.T, l *lab.Lab, m *lab.Machine, pid int) {
	text, err := os.ReadFile(l.Proc(pid, "mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 10 { // a propagation field would be one more
			t.Fatalf("mount %q is not private", line)
		}
		from, options := f[3], " "+f[7]+" "+f[9]
		if f[7] != "tmpfs" && f[7] != "devpts" {
			_, from, _ = strings.Cut(from, l.Dir+"/") // "": from the host, a library
			options = ""
		}
		got = append(got, fmt.Sprintf("%s <%s> %s%s", f[4], from, strings.ReplaceAll(f[5], ",relatime", ""), options))
	}
	slices.Sort(got)
	equal(t, strings.Join(got, "\n"), strings.ReplaceAll(`/ </> ro,nosuid,nodev,noexec tmpfs rw,size=256k,nr_inodes=256,mode=755
/annex </> ro,nosuid,nodev,noexec tmpfs rw,size=64k,nr_inodes=64,mode=755
/dev </> ro,nosuid,noexec tmpfs rw,size=64k,nr_inodes=16,mode=755
/dev/pts </> rw,nosuid,noexec devpts rw,mode=600,ptmxmode=666,max=96
/lib/x86_64-linux-gnu/libc.so.6 <> ro,nosuid,nodev
/lib64/ld-linux-x86-64.so.2 <> ro,nosuid,nodev
/linux <machines/guest/jail/linux> ro,nosuid,nodev
/swap <machines/guest/jail/swap> rw,nosuid,nodev,noexec
/tmp </> rw,nosuid,nodev tmpfs rw,size=65536k,nr_inodes=64,mode=700,uid=UID,gid=UID
/ubd0 <machines/guest/jail/ubd0> rw,nosuid,nodev,noexec
/uml <machines/guest/jail/uml> rw,nosuid,nodev,noexec`, "UID", fmt.Sprint(m.UID)))
}

// equal compares whole texts, and shows the lines that differ.
func equal(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	same(t, want, got)
	t.Errorf("got\n%s\nwant\n%s", got, want)
}
