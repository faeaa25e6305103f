package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"uml/test/lab"
)

// The answers come through all that the kernel is held by, also if a call that is
// not in its list would kill it, and from nobody but the kernel. Nothing is left.
func TestCtl(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"seccomp": "kill"})
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "version", "guest"), 111, "guest: the guest is down: nobody holds ")
	m.Activate()
	m.WaitLog("guest up")
	ask := func(args ...string) string {
		t.Helper()
		return l.Must(append([]string{"uml-ctl", "--timeout", "2m"}, args...)...)
	}
	for _, c := range []struct{ command, begins, holds string }{
		{"version guest", "Linux ", " 6."},
		{"config guest con1", "fd:110\n", ""},
		{"config " + m.Dir + " ubd0", "/ubd0\n", ""},
		{"proc guest meminfo", "MemTotal: ", "\nMemFree: "},
		{"pause guest", "stopped\n", ""},
		{"version guest", "Linux ", ""}, // a paused one still speaks
		{"resume guest", "", ""},
		{"sysrq guest h", "sysrq: HELP", ""},
		{"log guest told by the host", "", ""},
	} {
		if got := ask(strings.Fields(c.command)...); !strings.HasPrefix(got, c.begins) || !strings.Contains(got, c.holds) {
			t.Errorf("%s: got %q", c.command, got)
		}
	}
	for range 5 { // some forty datagrams, sent in one go; of a thread that is in no page fault
		if got := ask("stack", "guest", "2"); !strings.Contains(got, "Call Trace:") {
			t.Errorf("stack: got %q", got)
		}
	}
	m.WaitLog("told by the host") // the kernel ends such a line when it says the next
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "resume", "guest"), 100, `guest: the guest's kernel refuses "go": Not stopped`)
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "proc", "guest", "nosuch"), 100, `refuses "proc nosuch": `)
	if got := l.Must("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "--timeout", "2m", "version", "guest"); !strings.HasPrefix(got, "Linux ") {
		t.Errorf("to its own user: %q", got)
	}
	misled(t, l, m)
	if left, err := filepath.Glob(m.Jail + "/uml/*"); err != nil || len(left) != 1 {
		t.Errorf("left in uml: %q, %v", left, err)
	}

	m.Svc("-o")
	if got := ask("cad", "guest"); got != "" {
		t.Errorf("cad: %q", got)
	}
	m.WaitDown()
	if log := m.Log(); !strings.Contains(log, "reboot: System halted") {
		t.Errorf("no clean end:\n%s", log)
	}
	nothingRuns(t, l, m)
}

// misled puts what the user could into the socket's place, and the socket back.
func misled(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	at := m.Jail + "/uml/guest/mconsole"
	if err := os.Rename(at, at+".real"); err != nil {
		t.Fatal(err)
	}
	l.Must("sh", "-ec", `socat -u UNIX-RECV:/run/secret,mode=666 CREATE:/run/got >/dev/null 2>&1 & while ! [ -S /run/secret ]; do sleep 0.1; done`)
	for _, c := range []struct {
		put  string
		code int
		want string
	}{
		{`ln -s /run/secret $0`, 100, "mconsole: is a symbolic link, not a socket"},
		{`mkfifo $0`, 100, "mconsole: is a fifo, not a socket"},
		{`socat -u UNIX-RECV:$0,mode=666 CREATE:/run/got >/dev/null 2>&1 & echo $! >/run/pid
			while ! [ -S $0 ]; do sleep 0.1; done`, 100, "mconsole: belongs to user 0, not to the guest's"},
		// The answer is of the right form, to the right name, from the right user.
		{`cd $1; setpriv --reuid=guest --regid=guest --clear-groups socat UNIX-RECVFROM:$0,fork SYSTEM:'printf "\0\0\0\0\0\0\0\0\3\0\0\0OK\0"' >/dev/null 2>&1 & echo $! >/run/pid
			while ! [ -S $0 ]; do sleep 0.1; done`, 111, `guest: no answer to "version"`},
	} {
		l.Must("sh", "-ec", c.put, at, m.Jail)
		refusedBy(t, "uml-ctl", l.Run("uml-ctl", "--timeout", "1s", "version", "guest"), c.code, c.want)
		l.Must("sh", "-c", `[ ! -e /run/pid ] || { kill $(cat /run/pid) && rm /run/pid; }; rm -f "$0"`, at)
	}
	if got := l.Must("sh", "-c", "cat /run/got 2>&1"); got != "" {
		t.Errorf("sent to another: %q", got)
	}
	if err := os.Rename(at+".real", at); err != nil {
		t.Fatal(err)
	}
}

// A start holds the lock too, but has the host's root.
func TestCtlOfStart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	guest(l)
	held := fmt.Sprintf(`uml-jail guest -- busybox sleep 100 & 
		while [ "$(readlink /proc/$!/exe)" = %s/uml-jail ]; do sleep 0.1; done
		uml-ctl version guest; code=$?; kill $!; exit $code`, l.Bin)
	refusedBy(t, "uml-ctl", l.Run("sh", "-c", held), 111, "a start or uml-jail, holds")
}

// A guest that ends while it is asked takes its mounts with it, and leaves nothing in its jail all
// the same.
func TestCtlEnds(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	pid := m.WaitUp(0)
	m.Svc("-o")
	m.Svc("-p") // so that it does not answer
	l.Wait("its process to stop", func() bool { return strings.HasPrefix(l.Status(pid)["State"], "T") })
	sockets := func() int {
		all, err := filepath.Glob(m.Jail + "/uml/ctl-*")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	asked := make(chan lab.Result)
	go func() { asked <- l.Run("uml-ctl", "--timeout", "2m", "version", "guest") }()
	l.Wait("the question", func() bool { return sockets() == 1 })
	for _, pid := range slices.Backward(processes(t, l, m)) { // the kernel last: its children hold the mounts too
		l.Kill(pid, syscall.SIGKILL)
	}
	refusedBy(t, "uml-ctl", <-asked, 111, "the guest ended")
	if n := sockets(); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

// From its kernel's first answer on, a guest that boots is at worst not ready yet.
func TestMemoryOfBooting(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	for range 3 {
		out := l.Must("sh", "-c", `i=0
			until uml-ctl memory guest >/dev/null 2>$0/said; do
				code=$?; test $code = 111 || { echo $code; cat $0/said; }
				test $((i+=1)) -lt 5000 || exit
			done`, l.Dir)
		if out != "" {
			t.Errorf("refused: %s", out)
		}
		m.Svc("-k")
		l.Wait("its end", func() bool { return l.Run("uml-ctl", "memory", "guest").Code != 0 })
	}
}
