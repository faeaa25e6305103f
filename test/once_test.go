package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"uml/test/lab"
)

// Promise 1, on one host: of any number of starts by hand at the same time, one
// becomes the guest; with a guest running, none. Each other names the process,
// and takes nothing away from the guest.
func TestHundredStarts(t *testing.T) {
	t.Parallel()
	const starts = 100
	for _, running := range []bool{true, false} {
		t.Run(map[bool]string{true: "guest up", false: "guest down"}[running], func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := l.Machine("guest", lab.Settings{"ip4": address, "swap": "8M"})
			pid, refusals, before := 0, starts-1, ""
			if running {
				m.Activate()
				pid, refusals = m.WaitUp(0), starts
				m.WaitLog("guest up")
				before = settled(l)
			}
			hand := filepath.Join(l.Dir, "hand")
			l.Must("sh", "-c", fmt.Sprintf(`
				mkdir %[1]s; cd %[2]s
				for i in $(seq %[3]d); do
					{ uml-run </dev/null >%[1]s/$i.out 2>%[1]s/$i.err; echo $? >%[1]s/$i.part; mv %[1]s/$i.part %[1]s/$i.code; } >/dev/null 2>&1 &
				done`, hand, m.Dir, starts))
			var ended []string
			l.Wait("the starts to end", func() bool {
				ended, _ = filepath.Glob(hand + "/*.code")
				return len(ended) >= refusals
			})
			if !running {
				l.WaitPing(address)
				pid = kernel(t, l, m)
			}
			want := fmt.Sprintf("uml-run: fatal: lock: held by process %d, the guest runs or is being started\n", pid)
			for _, name := range ended {
				code, said := read(t, name), read(t, strings.TrimSuffix(name, "code")+"err")
				if code != "111\n" || said != want {
					t.Errorf("exit %s, said %s want %s", code, said, want)
				}
			}
			if got := kernel(t, l, m); got != pid {
				t.Errorf("the guest is process %d now, it was %d", got, pid)
			}
			if running {
				same(t, before, settled(l))
			}
			m.Guest("true")
			if more, _ := filepath.Glob(hand + "/*.code"); len(more) != refusals {
				t.Errorf("%d starts ended, want %d", len(more), refusals)
			}
		})
	}
}

// settled is the host's state but for the disc that the guest writes, and for the
// kernel's link-local addresses, which come when it pleases.
func settled(l *lab.Lab) string {
	var rest strings.Builder
	for line := range strings.Lines(l.State()) {
		if !strings.Contains(line, "jail/ubd0 f") && !strings.HasPrefix(line, "guest/jail/uml") && !strings.Contains(line, "fe80:") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

// quiet waits until nothing of a guest that ended changes the host's state any
// more: the kernel says a second later that the TAP has no carrier.
func quiet(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	nothingRuns(t, l, m)
	l.Wait("the TAP without carrier", func() bool { return strings.Contains(l.Must("ip", "route"), "linkdown") })
}

// kernel is the one guest kernel: of the guest's processes the one that no other
// started.
func kernel(t *testing.T, l *lab.Lab, m *lab.Machine) (pid int) {
	t.Helper()
	all := processes(t, l, m)
	for _, p := range all {
		if l.Status(l.Status(p).Int("PPid")).Int("Uid") == m.UID {
			continue
		}
		if pid != 0 {
			t.Errorf("processes %d and %d are both kernels, of %v", pid, p, all)
		}
		pid = p
	}
	return pid
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A killed kernel leaves children that hold its locks and discs; the next start
// ends them, whenever in its life the kernel was killed.
func TestKilledTwentyTimes(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	pid := 0
	for i := range 20 {
		old := pid
		l.Wait("the next kernel", func() bool {
			pid = m.PID()
			exe, _ := os.Readlink(l.Proc(pid, "exe"))
			return pid != old && filepath.Base(exe) == "linux"
		})
		switch i % 4 {
		case 1:
			l.Wait("its disc", func() bool { // the child that reads it is there
				return len(processes(t, l, m)) > 1
			})
		case 3:
			m.WaitUp(old)
		}
		l.Kill(pid, syscall.SIGKILL)
	}
	last := m.WaitUp(pid)
	m.Guest("true")
	if got := kernel(t, l, m); got != last {
		t.Errorf("kernel %d is not the one that supervise watches, %d", got, last)
	}
	if strings.Contains(m.Log(), "fatal:") {
		t.Errorf("a start failed:\n%s", m.Log())
	}
}

// Two machines that name the same disc: the second is refused, whatever name it
// has for it.
func TestDiscOfAnother(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	one := guest(l)
	two := l.Machine("two", lab.Settings{"ip4": "192.0.2.21"})
	disc, link := filepath.Join(one.Jail, "ubd0"), filepath.Join(two.Jail, "link")
	l.Must("sh", "-ec", fmt.Sprintf("chown root %[1]s; chmod 666 %[1]s", disc))
	one.Activate()
	pid := one.WaitUp(0)
	held := func(name string) string { return fmt.Sprintf("%s: held by process %d, the disc is in use", name, pid) }

	const path = "/run/disc" // since /tmp is the jail's own
	l.Must("sh", "-c", "touch "+path+"; mount --bind "+disc+" "+path)
	two.Set("ubd1", path+" flags=r")
	refused(t, two.Run("uml-run"), 111, held(path))
	two.Set("ubd1", disc+" flags=r")
	refused(t, two.Run("uml-run"), 100, one.Jail+": others than root can change it")
	l.Must("sh", "-c", fmt.Sprintf("touch %[1]s/bound; mount --bind %[2]s %[1]s/bound", two.Jail, disc))
	two.Set("ubd1", "bound")
	refused(t, two.Run("uml-run"), 111, held("jail/bound"))
	l.Must("ln", disc, link)
	two.Set("ubd1", "link flags=r")
	refused(t, two.Run("uml-run"), 111, held("jail/link"))
	two.Set("ubd1", "link")
	refused(t, two.Run("uml-run"), 100, "jail/link: has 2 names (hard links)")
	l.Must("rm", link)

	if !l.Ping(address) {
		t.Error("the first guest is disturbed")
	}
	one.Svc("-d")
	one.WaitDown()
	two.Set("ubd1", path+" flags=r")
	two.Activate() // and not for ever
	two.WaitUp(0)
}

// An account belongs to one machine: its TAP tells at a start.
func TestAccountOfAnother(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	guest(l).Activate()
	two := l.Machine("two", lab.Settings{"ip4": "192.0.2.21", "user": "guest"})
	l.Must("chown", "-R", "guest", two.Jail)
	l.WaitPing(address)
	before := settled(l)
	refused(t, two.Run("uml-run"), 100, "user guest (id ")
	refused(t, two.Run("uml-run"), 100, "two machines never share an account")
	same(t, before, settled(l))
}

// A lock file that was deleted or replaced proves nothing. The guest that runs keeps
// out a second one, also where no disc does, and nothing is taken from it: no
// route, no swap.
func TestLockDeleted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ disc, do string }{
		"deleted":   {"ubd0", "rm lock"},
		"replaced":  {"ubd0", "echo >new; chmod 600 new; mv new lock"},
		"only read": {"ubd0 flags=r", "rm lock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := l.Machine("guest", lab.Settings{"ip4": address, "ubd0": c.disc, "swap": "8M"})
			m.Activate()
			pid := m.WaitUp(0)
			m.WaitLog("guest up")
			l.Must("sh", "-ec", "cd "+m.Dir+"; "+c.do)
			m.Set("swap", "16M")
			before := settled(l)
			want := fmt.Sprintf("lock: is free, but process %d runs in a jail as this machine's user", pid)
			refused(t, m.Run("uml-run"), 111, want)
			refusedBy(t, "uml-net", m.Run("uml-net", "down", "guest"), 111, want)
			refusedBy(t, "uml-jail", m.Run("uml-jail", "--", "/bin/busybox", "true"), 111, want)
			if r := m.Run("uml-check", "guest"); r.Code != 111 || !strings.Contains(r.Out, want) {
				t.Errorf("uml-check: exit %d, said\n%s", r.Code, r.Out)
			}
			same(t, before, settled(l))
			if !l.Ping(address) {
				t.Error("the guest is cut off")
			}
		})
	}
}

// A machine directory by another name is the same machine's, or none that may start.
func TestOtherName(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.Must("sh", "-ec", "mkdir /run/bound /run/other; ln -s "+m.Dir+" /run/linked; mount --bind "+l.Machines+" /run/bound; mount --bind "+m.Dir+" /run/other")
	names := []string{"/run/linked", "/run/bound/guest", "/run/other"}
	m.Set("user", "guest")
	m.Activate()
	pid := m.WaitUp(0)
	before := settled(l)
	for _, name := range names {
		refused(t, l.Run("uml-run", name), 111, fmt.Sprintf("%s/lock: held by process %d, the guest runs or is being started", name, pid))
	}
	same(t, before, settled(l))
}

// Any number of guests read one disc, and while one does nobody writes it.
func TestDiscShared(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	const disc = "/run/disc" // since /tmp is the jail's own
	l.Must("sh", "-c", "truncate -s 1M "+disc)
	one := l.Machine("guest", lab.Settings{"ip4": address, "ubd1": disc + " flags=r"})
	two := l.Machine("two", lab.Settings{"ip4": "192.0.2.21", "ubd1": disc + " flags=r"})
	three := l.Machine("three", lab.Settings{"ip4": "192.0.2.22", "ubd1": "disc"})
	one.Activate()
	two.Activate()
	one.WaitUp(0)
	two.WaitUp(0)
	l.Must("sh", "-ec", fmt.Sprintf("touch %[1]s/disc; mount --bind %[2]s %[1]s/disc; chown three %[2]s", three.Jail, disc))
	refused(t, three.Run("uml-run"), 111, "jail/disc: held by process ")
}

// A kernel that let its inherited lock go keeps a second one out all the same.
func TestLockLetGo(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.Must("sh", "-c", fmt.Sprintf("unshare --mount setpriv --reuid=%d --clear-groups sleep 1000 >/dev/null 2>&1 </dev/null & "+
		"until grep -q '^Uid:.%d' /proc/$!/status; do sleep 0.1; done", m.UID, m.UID))
	before := l.Must("sh", "-c", "ip route; ip neigh show proxy")
	refused(t, m.Run("uml-run"), 111, "lock: is free, but process ")
	r := m.Run("uml-jail", "--", "/bin/busybox", "true")
	if r.Code != 111 || !strings.HasPrefix(r.Err, "uml-jail: fatal: lock: is free, but process ") {
		t.Errorf("uml-jail: exit %d, said %q", r.Code, r.Err)
	}
	same(t, before, l.Must("sh", "-c", "ip route; ip neigh show proxy"))
}
