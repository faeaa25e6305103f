package test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// service has a real svscan look through the lab's service directory. What it
// starts has a log of its own, and both end up in the machine's.
func service(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(m.Dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := "#!/bin/sh\nexec tee -a " + filepath.Join(l.Dir, m.Name+".log") + "\n"
	if err := os.WriteFile(filepath.Join(m.Dir, "log/run"), []byte(run), 0o755); err != nil {
		t.Fatal(err)
	}
	l.Must("sh", "-c", "svscan "+l.Service+" </dev/null >/dev/null 2>>"+filepath.Join(l.Dir, m.Name+".log")+" &")
}

// ctl is what uml-ctl prints.
func ctl(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	return l.Must(append([]string{"uml-ctl"}, args...)...)
}

// says fails if a line does not begin so.
func says(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if strings.HasPrefix(got, w) {
			return
		}
	}
	t.Errorf("got %q, want one of %q", got, want)
}

// clean says whether the guest unmounted its disc, so that nothing is to be
// recovered.
func clean(l *lab.Lab, m *lab.Machine) bool {
	return !strings.Contains(l.Must("dumpe2fs", "-h", filepath.Join(m.Jail, "ubd0")), "needs_recovery")
}

// A machine's life under svscan, and every way to stop it: nothing on its disc is
// lost, and it stays down.
func TestService(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address})
	service(t, l, m)

	m.Set("mem", "much")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "activate", "guest"), 100, `settings/mem: "much" is not a size`)
	m.Unset("mem")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "activate", "geust"), 100, "/geust: there is no such machine (did you mean guest?)")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "version", "gues"), 100, "(did you mean guest?)")
	l.Must("sh", "-c", "mkdir /run/ro && mount -t tmpfs -o ro none /run/ro")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "--service", "/run/ro", "activate", "guest"), 100, "/run/ro: is on a filesystem that is mounted read-only")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "--service", "/run/none", "activate", "guest"), 100, "/run/none: there is no such directory")
	l.Must("ln", "-s", "/run", m.Link())
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "activate", "guest"), 100, "uml-guest: leads to /run, not to ")
	l.Must("rm", m.Link())
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "up", "guest"), 111, "supervise: supervise is not running (try: uml-ctl activate guest)")
	l.Must("mkdir", "/run/unseen")
	l.Must("ln", "-s", m.Dir, "/run/unseen/uml-guest")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "--service", "/run/unseen", "restart", "guest"), 111, "supervise: supervise is not running (linked into /run/unseen: nothing has looked there yet)")
	if got := ctl(t, l, "stop", "--all"); got != "guest: was down\n" {
		t.Errorf("got %q", got)
	}

	ctl(t, l, "activate", "guest")
	ctl(t, l, "activate", "guest", "guest")
	l.WaitPing(address)
	if got := l.Must("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "stop", "guest", "--timeout", "2m"); !strings.HasPrefix(got, "guest: clean (") || !strings.Contains(got, "its supervisor was not told, and may start it again") {
		t.Errorf("by its user: %q", got)
	}
	l.WaitPing(address)
	m.Guest("echo written >/root/file")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { says(t, ctl(t, l, "stop", "guest", "--timeout", "2m"), "guest: clean (") })
	}
	both.Wait()
	if got := m.Svstat(); !strings.HasPrefix(got, "down ") || !strings.Contains(m.Log(), "reboot: System halted") || !clean(l, m) {
		t.Errorf("%s; clean: %v\n%s", got, clean(l, m), m.Log())
	}
	says(t, ctl(t, l, "stop", "guest"), "guest: was down\n")

	// A start that waits, and one that fails again and again.
	nostart := l.Machines + "-nostart"
	l.Must("touch", nostart)
	ctl(t, l, "up", "guest")
	m.WaitLog("waits: ")
	says(t, ctl(t, l, "stop", "guest"), "guest: was not up yet\n")
	l.Must("rm", nostart)
	m.Set("mem", "much")
	ctl(t, l, "up", "guest")
	m.WaitLog("is not a size")
	says(t, ctl(t, l, "stop", "guest"), "guest: was not up yet\n", "guest: was down\n")
	stays(t, m)
	m.Unset("mem")

	// An init that does not take Ctrl-Alt-Del: what was written is on the disc.
	ctl(t, l, "once", "guest")
	l.WaitPing(address)
	m.Guest("echo 1 >/proc/sys/kernel/ctrl-alt-del; echo more >/root/more")
	says(t, ctl(t, l, "stop", "guest", "--timeout", "1s"), "guest: terminated (")
	stays(t, m)
	disc := filepath.Join(m.Jail, "ubd0")
	l.Run("e2fsck", "-fp", disc) // as the next mount does
	if text := l.Must("debugfs", "-R", "cat /root/more", disc); text != "more\n" {
		t.Errorf("on the disc: %q", text)
	}

	says(t, ctl(t, l, "restart", "guest"), "guest: was down\n")
	l.WaitPing(address)
	noLock(t, l, m)

	// A kernel that was killed leaves others of its kind.
	m.Svc("-o")
	l.Kill(m.PID(), unix.SIGKILL)
	m.WaitDown()
	says(t, ctl(t, l, "stop", "guest"), "guest: was down\n")
	nothingRuns(t, l, m)

	// Down for good, while it boots.
	ctl(t, l, "up", "guest")
	l.Wait("a start", func() bool { return m.PID() != 0 })
	says(t, ctl(t, l, "deactivate", "guest", "--timeout", "2m"), "guest: clean (", "guest: was not up yet")
	for range 2 {
		if _, err := os.Lstat(m.Link()); err == nil {
			t.Error("the link is there")
		}
		if r := l.Run("sh", "-c", "svok $0 || svok $0/log || ip link show tap_guest", m.Dir); r.Code == 0 {
			t.Errorf("it has a supervise or a TAP: %s", r.Out)
		}
		says(t, ctl(t, l, "deactivate", "guest"), "guest: was down\n")
	}
	nothingRuns(t, l, m)
}

// stays: its supervise has no process, and starts none.
func stays(t *testing.T, m *lab.Machine) {
	t.Helper()
	if got := m.Svstat(); !strings.HasPrefix(got, "down ") || !strings.Contains(got, "normally up") || strings.Contains(got, "want up") {
		t.Errorf("svstat says %q", got)
	}
}

// noLock: a kernel whose lock is gone is no start that a signal may end.
func noLock(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	pid := m.PID()
	l.Must("mv", filepath.Join(m.Dir, "lock"), filepath.Join(m.Dir, "away"))
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "stop", "guest"), 111, "is a guest's kernel and does not hold "+filepath.Join(m.Dir, "lock"))
	l.Must("mv", filepath.Join(m.Dir, "away"), filepath.Join(m.Dir, "lock"))
	l.WaitPing(address)
	if got := m.PID(); got != pid {
		t.Errorf("kernel %d, it was %d", got, pid)
	}
}
