package screen

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is also the program on the terminal.
func TestMain(m *testing.M) {
	if os.Getenv("SCREEN_TEST") == "" {
		os.Exit(m.Run())
	}
	if err := Run(os.Stdin, os.Stdout, time.Hour, func(columns int) ([]string, error) {
		return []string{fmt.Sprint("columns ", columns), "below"}, nil
	}, func(byte) bool { return false }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A terminal is a pair, with the program on it.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	before unix.Termios

	mu    sync.Mutex
	shown string
}

func open(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // so that Close ends Read
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &terminal{t: t, master: os.NewFile(uintptr(fd), "master"), slave: slave}
	t.Cleanup(func() { p.master.Close(); p.slave.Close() })
	p.before = p.settings()
	p.resize(80)
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), "SCREEN_TEST=1")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, p.slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read()
	return p
}

func (p *terminal) read() {
	b := make([]byte, 4096)
	for {
		n, err := p.master.Read(b)
		p.mu.Lock()
		p.shown += string(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *terminal) settings() unix.Termios {
	p.t.Helper()
	s, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *s
}

func (p *terminal) resize(columns uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits until text was shown.
func (p *terminal) wait(text string) {
	p.t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		shown := p.shown
		p.mu.Unlock()
		if strings.Contains(shown, text) {
			return
		}
		if time.Now().After(until) {
			p.cmd.Process.Kill()
			p.t.Fatalf("no %q in %q", text, shown)
		}
	}
}

func (p *terminal) typed(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the program.
func (p *terminal) ended() {
	p.t.Helper()
	late := time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("ended by %v", err)
	}
}

// The terminal is as it was, whatever the program is ended by; its stop would leave
// the shell with what is drawn.
func TestEnds(t *testing.T) {
	sends := func(sig syscall.Signal) func(*terminal) {
		return func(p *terminal) { p.cmd.Process.Signal(sig) }
	}
	types := func(keys string) func(*terminal) {
		return func(p *terminal) { p.typed(keys) }
	}
	for name, end := range map[string]func(*terminal){
		"q": types("q"), "^C": types("\x03"), "^D": types("\x04"), "^\\": types("\x1c"), "^Z and q": types("\x1aq"),
		"TERM": sends(unix.SIGTERM), "HUP": sends(unix.SIGHUP), "QUIT": sends(unix.SIGQUIT),
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			p.wait("columns 80")
			if p.settings() == p.before {
				t.Error("the terminal echoes")
			}
			end(p)
			p.ended()
			p.wait(leave)
			if p.settings() != p.before {
				t.Error("the terminal is not as it was")
			}
		})
	}
}

// A table is drawn anew when its window changes.
func TestResize(t *testing.T) {
	p := open(t)
	p.wait("columns 80")
	p.resize(132)
	p.wait("columns 132")
	p.typed("q")
	p.ended()
}

// A terminal that goes away ends the program.
func TestGone(t *testing.T) {
	p := open(t)
	p.wait("columns 80")
	p.master.Close()
	late := time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); p.cmd.ProcessState.ExitCode() < 0 {
		t.Errorf("ended by %v", err)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		columns int
		want    string
	}{{0, "wörter"}, {6, "wörter"}, {5, "wört…"}, {1, "…"}} {
		if got := Cut("wörter", c.columns); got != c.want {
			t.Errorf("%d: got %q, want %q", c.columns, got, c.want)
		}
	}
}
