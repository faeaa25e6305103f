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
func terminal(t *testing.T, socket string, env ...string) (*customer, *exec.Cmd) {
	t.Helper()
	master, slave := pair(t)
	unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append([]string{"UML_TEST_SOCKET=" + socket}, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &customer{t: t, master: master}
	t.Cleanup(func() { cmd.Process.Kill(); master.Close() })
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

// pair is a terminal pair.
func pair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	fd, err := peer(int(master.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fd, true) // so that reading has a deadline
	slave = os.NewFile(uintptr(fd), "slave")
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func peer(master int) (slave int, err error) {
	fd, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
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
			c.t.Fatalf("%q is not seen in %.2000q", text, c.shown())
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

// left waits for the shell's end, which is to have the code, and for the terminal to be
// one to type lines at.
func (c *customer) left(cmd *exec.Cmd, code int) {
	c.t.Helper()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit %d, want %d", got, code)
	}
	if after := c.modes(); after.Lflag&unix.ECHO == 0 || after.Lflag&unix.ICANON == 0 {
		c.t.Errorf("at the end the terminal is %+v", after)
	}
}
