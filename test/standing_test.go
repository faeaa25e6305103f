package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/roster"
	"uml/test/lab"
	"uml/test/watch"
)

// What is told of a guest that is there, and neither simply up nor simply down.
func TestListRuns(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	pid := m.WaitUp(0)
	now := func() roster.Machine { t.Helper(); return listed(t, l)["guest"] }
	is := func(want, why string, notes ...string) {
		t.Helper()
		if g := now(); g.State != want || g.Why != why || g.PID != pid || !slices.Equal(g.Notes, notes) {
			t.Errorf("got %s, %q, pid %d, %q; want %s, %q, pid %d, %q", g.State, g.Why, g.PID, g.Notes, want, why, pid, notes)
		}
	}
	is(roster.Up, "")

	// Paused by its kernel, and by a signal, busy or not.
	m.Guest("{ while :; do :; done; } </dev/null >/dev/null 2>&1 & echo $! >/tmp/busy")
	for range 20 { // whatever its kernel does just then
		is(roster.Up, "")
	}
	ctl(t, l, "pause", "guest")
	l.Wait("it to stand", func() bool { return now().State == roster.Paused }) // its kernel answers before it does
	is(roster.Paused, "until uml-ctl resume")
	if g := now(); g.Since != nil {
		t.Errorf("paused since %v, which nobody knows", g.Since)
	}
	if out := l.Must("uml-ctl", "list"); !strings.Contains(out, "guest yes paused ") || !strings.Contains(out, "(paused: until uml-ctl resume)") {
		t.Errorf("in the table:\n%s", out)
	}
	if out := l.Must("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "list", "guest"); !strings.Contains(out, "guest yes paused ") {
		t.Errorf("to its own user:\n%s", out)
	}
	if out := l.Must("uml-ctl", "top", "-n", "1", "-d", "0.1"); !strings.Contains(out, "\nguest ") {
		t.Errorf("top leaves out a paused guest:\n%s", out)
	}
	ctl(t, l, "resume", "guest")
	is(roster.Up, "")
	m.Guest("kill $(cat /tmp/busy)")
	m.Svc("-p")
	stopped := func() bool { return strings.HasPrefix(l.Status(pid)["State"], "T") }
	l.Wait("its process to stop", stopped)
	is(roster.Paused, "until its process is sent SIGCONT (svc -c)")
	m.Svc("-c")
	l.Wait("its process to go on", func() bool { return !stopped() })
	is(roster.Up, "")

	attachedDiscs(t, l, m)

	// Not to be started again, and then told to end, which it cannot hear.
	m.Svc("-o")
	is(roster.Up, "", "is not started again when it ends")
	m.Svc("-u")
	is(roster.Up, "")

	// By hand, beside its supervise.
	m.Svc("-d")
	m.WaitDown()
	l.Must("sh", "-c", `uml-run "$0" </dev/null >>"$1" 2>&1 &`, m.Dir, filepath.Join(l.Dir, "guest.log"))
	l.WaitPing(address)
	var byHand int
	l.Wait("the guest to be listed", func() bool { byHand = now().PID; return byHand != 0 })
	if exe, err := os.Readlink(l.Proc(byHand, "exe")); err != nil || exe != "/room/linux" || byHand == pid {
		t.Errorf("started by hand: process %d, it was %d: %s, %v", byHand, pid, exe, err)
	}
	pid = byHand
	is(roster.Up, "", "started by hand, not by its supervisor")
	says(t, ctl(t, l, "stop", "guest", "--timeout", "2m"), "guest: clean (")
	if g := now(); g.State != roster.Down || len(g.Notes) > 0 {
		t.Errorf("stopped: got %+v", g)
	}
	stays(t, m)
	killed(t, l, m)
}

// attachedDiscs: a disc that came while the guest runs is told of by the name that it
// has in the jail, until it goes.
func attachedDiscs(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	discs := func() string {
		t.Helper()
		var all []string
		for _, d := range listed(t, l)["guest"].Discs {
			all = append(all, fmt.Sprint(d.Device, " ", d.File, " ", d.Size))
		}
		return strings.Join(all, ", ")
	}
	const own = "ubd0 ubd0 25165824"
	equal(t, discs(), own)
	l.Must("sh", "-ec", `umask 022; cd $0; truncate -s 1M data; chown guest: data
		mkdir shared; truncate -s 2M shared/data; chown -R guest: shared`, m.Jail)
	ctl(t, l, "attach", "guest", "ubd3", "data", "--keep")
	ctl(t, l, "attach", "guest", "ubd2", "shared/data", "flags=r")
	ctl(t, l, "memory", "guest", "60M") // which leaves a note beside the discs
	equal(t, discs(), own+", ubd2 /annex/ubd2 2097152, ubd3 data 1048576")
	ctl(t, l, "detach", "guest", "ubd2")
	ctl(t, l, "detach", "guest", "ubd3", "--keep")
	equal(t, discs(), own)
}

// killed: a kernel that cannot even hear that it is to end, since its process is
// stopped again and again, is killed, and its strays are ended.
func killed(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	ctl(t, l, "up", "guest")
	pid := m.WaitUp(0)
	hold(t, pidOutside(t, l, pid))
	got := ctl(t, l, "stop", "guest", "--timeout", "1s")
	if says(t, got, "guest: killed ("); !strings.Contains(got, "no answer") {
		t.Errorf("why it was killed: %q", got)
	}
	stays(t, m)
	if left := processes(t, l, m); len(left) > 0 {
		t.Errorf("strays are left: %v", left)
	}
}

// hold keeps a process from running until it is killed, SIGCONT or not (ptrace(2),
// PTRACE_INTERRUPT).
func hold(t *testing.T, pid int) {
	t.Helper()
	held := make(chan error)
	go func() {
		runtime.LockOSThread() // it is the tracer, and ends with this
		var status unix.WaitStatus
		err := errors.Join(unix.PtraceSeize(pid), unix.PtraceInterrupt(pid))
		if err == nil {
			_, err = unix.Wait4(pid, &status, unix.WALL, nil)
		}
		held <- err
		for err == nil && !status.Exited() && !status.Signaled() {
			_, err = unix.Wait4(pid, &status, unix.WALL, nil)
		}
	}()
	if err := <-held; err != nil {
		t.Fatalf("hold process %d: %v", pid, err)
	}
}

// pidOutside is our number for a process of the lab's host.
func pidOutside(t *testing.T, l *lab.Lab, pid int) int {
	t.Helper()
	ns := func(pid int) string {
		name, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		return name
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		p, _ := strconv.Atoi(filepath.Base(dir))
		if watch.Inside(p) == pid && ns(p) == ns(l.PID) {
			return p
		}
	}
	t.Fatalf("process %d of the lab's is not seen", pid)
	return 0
}
