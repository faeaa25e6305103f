package shell

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A customer is who sits at a terminal.
type customer struct {
	t      *testing.T
	master *os.File
	mu     sync.Mutex
	text   string
}

// terminal starts a shell at one.
func terminal(t *testing.T, socket string) (*customer, *exec.Cmd) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		t.Fatal(e)
	}
	slave := os.NewFile(peer, "slave")
	unix.IoctlSetWinsize(int(peer), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{"UML_TEST_SOCKET=" + socket}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &customer{t: t, master: master}
	t.Cleanup(func() { cmd.Process.Kill(); slave.Close(); master.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			c.mu.Lock()
			c.text += string(b[:n])
			c.mu.Unlock()
		}
	}()
	return c, cmd
}

func (c *customer) shown() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text
}

func (c *customer) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = ""
}

func (c *customer) types(s string) {
	c.t.Helper()
	if _, err := c.master.WriteString(s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *customer) sees(text string) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(c.shown(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%q is not seen in %q", text, c.shown())
		}
	}
}

func (c *customer) modes() unix.Termios {
	c.t.Helper()
	m, err := unix.IoctlGetTermios(int(c.master.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return *m
}
