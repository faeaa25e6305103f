package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// A viewer is uml-ctl console at a terminal that the test has made.
type viewer struct {
	t      *testing.T
	l      *lab.Lab
	cmd    *exec.Cmd
	tty    *os.File // the terminal's own end
	before unix.Termios
	ended  chan struct{}

	hold sync.Mutex // the terminal takes nothing meanwhile
	mu   sync.Mutex
	text []byte
}

// look starts one, at a terminal of 50 rows and 132 columns.
func look(t *testing.T, l *lab.Lab, args ...string) *viewer {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		t.Fatal(e)
	}
	slave := os.NewFile(peer, "slave")
	defer slave.Close()
	v := &viewer{t: t, l: l, tty: master, ended: make(chan struct{})}
	v.resize(50, 132)
	v.before = v.modes()
	ctx, cancel := context.WithCancel(context.Background())
	v.cmd = l.Cmd(ctx, l.Dir, args...)
	v.cmd.Stdin, v.cmd.Stdout, v.cmd.Stderr = slave, slave, slave
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		v.tty.Close()
		if s := v.shown(); t.Failed() {
			t.Logf("%q showed at last\n%q", args, s[max(0, len(s)-300):])
		}
	})
	go v.collect()
	go func() { v.cmd.Wait(); close(v.ended) }()
	return v
}

func (v *viewer) collect() {
	b := make([]byte, 4096)
	for {
		v.hold.Lock()
		n, err := v.tty.Read(b)
		v.hold.Unlock()
		if err != nil {
			return
		}
		v.mu.Lock()
		if len(v.text) > 1<<18 { // of a flood the end will do
			v.text = nil
		}
		v.text = append(v.text, b[:n]...)
		v.mu.Unlock()
	}
}

func (v *viewer) shown() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.text)
}

func (v *viewer) resize(rows, columns uint16) {
	v.t.Helper()
	if err := unix.IoctlSetWinsize(int(v.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewer) modes() unix.Termios {
	v.t.Helper()
	modes, err := unix.IoctlGetTermios(int(v.tty.Fd()), unix.TCGETS)
	if err != nil {
		v.t.Fatal(err)
	}
	return *modes
}

func (v *viewer) type_(s string) {
	v.t.Helper()
	if _, err := v.tty.WriteString(s); err != nil {
		v.t.Fatal(err)
	}
}

// sees waits until a pattern was shown, and returns what its group is.
func (v *viewer) sees(pattern string) (group string) {
	v.t.Helper()
	p := regexp.MustCompile(pattern)
	v.l.Wait(fmt.Sprintf("%q on the console", pattern), func() bool {
		m := p.FindStringSubmatch(v.shown())
		if m != nil {
			group = m[len(m)-1]
		}
		return m != nil
	})
	return group
}

// asks types a line and returns what the guest answers. The answer is told from
// the line's echo by what the shell makes of it; a shell that is just coming up
// may not have seen it.
func (v *viewer) asks(line string) string {
	v.t.Helper()
	v.mu.Lock()
	v.text = nil
	v.mu.Unlock()
	v.type_(`echo "<<"$((40+2)) ` + line + "\r")
	return v.sees(`<<42 ([^\r]*)\r`)
}

// leaves waits for its end, which is to have the code, and for the terminal to be as before.
func (v *viewer) leaves(code int) {
	v.t.Helper()
	v.l.Wait("the viewer's end", func() bool {
		select {
		case <-v.ended:
			return true
		default:
			return false
		}
	})
	if got := v.cmd.ProcessState.ExitCode(); got != code {
		v.t.Errorf("exit %d, want %d: %q", got, code, v.shown())
	}
	if got := v.modes(); got != v.before {
		v.t.Errorf("modes of the terminal: %+v, before %+v", got, v.before)
	}
}

// The same shell for all that come and go.
func TestConsole(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", nil)
	console := func(args ...string) *viewer {
		t.Helper()
		return look(t, l, append([]string{"uml-ctl", "--timeout", "2m", "console", "guest"}, args...)...)
	}
	early := console("--wait")
	early.sees("waiting for it to come up")
	m.Activate()
	early.sees("# ")
	shell := early.asks("$$")
	if got := early.asks("$(stty size)"); got != "50 132" {
		t.Errorf("size %q", got)
	}
	early.resize(40, 100)
	l.Wait("the new size", func() bool { return early.asks("$(stty size)") == "40 100" })

	watcher := console("--watch")
	watcher.sees("joined")
	second := look(t, l, "setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "console", "guest", "con1")
	second.sees("joined")
	early.asks("for all")
	second.sees("<<42 for all\r")
	watcher.sees("<<42 for all\r")
	watcher.type_("echo typed\r")
	if got := second.asks("$$"); got != shell {
		t.Errorf("another shell: %q, not %q", got, shell)
	}

	// The first leaves in the middle of output: nothing is lost for the others.
	second.type_("seq 1 20000; echo e'n'd\r")
	early.sees("\r\n100\r\n")
	early.type_("~.")
	early.leaves(0)
	numbers := strings.ReplaceAll(l.Must("seq", "1", "20000"), "\n", "\r\n") + "end\r\n"
	for _, v := range []*viewer{second, watcher} {
		v.sees("\r\nend\r\n")
		if got := v.shown(); !strings.Contains(got, numbers) {
			t.Errorf("the numbers were not shown whole: %d bytes, want %d", len(got), len(numbers))
		}
	}
	if strings.Contains(second.shown(), "typed") {
		t.Error("the watcher typed")
	}
	watcher.type_("~.")
	watcher.leaves(0)

	// One that serves is killed: another goes on. What is typed just then may be lost.
	ours := func(s lab.Status) bool { return s["Name"] == "uml-ctl" }
	serves := l.Processes(ours)
	third := console()
	third.sees("joined")
	for _, pid := range serves {
		l.Kill(pid, unix.SIGKILL)
	}
	<-second.ended
	third.type_("\r")
	third.sees("joined(?s).*# ")
	if got := third.asks("$$"); got != shell {
		t.Errorf("another shell: %q, not %q", got, shell)
	}

	// However much the guest writes, and if the terminal takes none of it.
	third.type_("while :; do printf '\\033[31m\\033[6nflood'; done\r")
	third.sees("6nflood")
	fourth := console()
	fourth.sees("joined")
	third.hold.Lock()
	third.type_("\r~.")
	third.leaves(0)
	third.hold.Unlock()
	fourth.sees("6nflood")
	fourth.tty.Close()
	<-fourth.ended

	last := console("--wait", "--log", l.Dir+"/con1.log")
	last.sees("6nflood")
	last.type_("\x03")
	last.sees(`(?s)\^C.*/ # `) // before, the shell throws away what was typed
	if got := last.asks("$$"); got != shell {
		t.Errorf("another shell: %q, not %q", got, shell)
	}
	scripted(t, l)

	last.type_("halt -f\r")
	last.sees("the guest has ended")
	last.sees("(?s)waiting for it to come up.*# ")
	last.asks("again")
	for _, pid := range l.Processes(ours) {
		l.Kill(pid, unix.SIGTERM)
	}
	last.leaves(111)
	if log := read(t, l.Dir+"/con1.log"); strings.ContainsAny(log, "\x1b\r") || !strings.Contains(log, `\x1b[31m`) {
		t.Errorf("the log: %q", log[:min(len(log), 500)])
	}
	if st, err := os.Stat(l.Dir + "/con1.log"); err != nil || st.Mode() != 0o600 {
		t.Errorf("the log's mode: %v, %v", st.Mode(), err)
	}
	if left := l.Processes(ours); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if left := l.Must("sh", "-c", "ls -A "+m.Jail+"/uml"); left != "guest\n" {
		t.Errorf("left in uml: %q", left)
	}
}

// scripted: what comes and goes through pipes is lines and text.
func scripted(t *testing.T, l *lab.Lab) {
	t.Helper()
	r := l.Run("sh", "-c", `printf '%s\n' "$0" | uml-ctl console guest --linger 5s`, `printf "\033[31m$((6*7))\n"`)
	if r.Code != 0 || !strings.Contains(r.Out, `\x1b[31m42`+"\n") || strings.ContainsAny(r.Out, "\x1b\r") {
		t.Errorf("exit %d, %q, %q", r.Code, r.Out, r.Err)
	}
	for args, want := range map[string]string{
		"guest con0":             `guest: con0 is "null", no terminal (in the machine's settings, con0 has to be pts when the guest starts)`,
		"guest ssl63":            `guest: ssl63 is "null", no terminal`,
		"guest con16":            `"con16" is no console (con0 to con15, ssl0 to ssl63)`,
		"guest con01":            `"con01" is no console`,
		"guest --escape ab":      `--escape: "ab" is no escape character`,
		"guest --log /nosuch/it": `--log: open /nosuch/it: no such file or directory`,
		"guest con1 con2":        `3 names, it takes a machine and a console`,
	} {
		refusedBy(t, "uml-ctl", l.Run(strings.Fields("uml-ctl console "+args)...), 100, want)
	}
	l.Account("other")
	r = l.Run("setpriv", "--reuid=other", "--regid=other", "--clear-groups", "uml-ctl", "console", "guest")
	refusedBy(t, "uml-ctl", r, 111, "permission denied")
}
