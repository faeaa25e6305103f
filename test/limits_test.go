package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// What a start lacks, it says: it claims nothing, and leaves nothing behind.

func claimsNothing(t *testing.T, l *lab.Lab) {
	t.Helper()
	if left := openNet(t, l).claims(); len(left) > 0 {
		t.Errorf("left claims: %v", left)
	}
}

// However few descriptors there are, and wherever they run out.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("ping-timeout", "10")
	m := l.Machine("guest", lab.Settings{"ip4": address, "swap": "64K", "nofile": "64"})
	l.Must("uml-net", "restore") // one descriptor is no matter, but each iptables takes some
	// So that no start becomes the kernel: this is found last.
	l.Must("sh", "-ec", fmt.Sprintf("cd %s/jail; mkdir -p uml/guest/x; chown -R guest: uml", m.Dir))
	ran := map[string]int{}
	for n := 3; n <= 112; n++ {
		if n == 25 {
			n = 108 // the terminal is made last, with the numbers 110 and 111
		}
		r := m.Run("prlimit", fmt.Sprintf("--nofile=%d:%d", n, n), "uml-run")
		switch {
		case r.Code == 111 && strings.Contains(r.Err, "too many open files"):
			ran["too few"]++
		case r.Code == 100 && strings.Contains(r.Err, "is nothing that a kernel leaves"),
			r.Code == 100 && strings.Contains(r.Err, "nofile: 64 is over the limit"): // to root without CAP_SYS_RESOURCE
			ran["enough"]++
		case r.Code == 2 && n < 10 && strings.Contains(r.Err, "runtime"): // Go's, which needs some itself
			ran["too few for Go"]++
		default:
			t.Errorf("with %d: exit %d, said %s", n, r.Code, r.Err)
		}
		if _, err := os.Lstat(filepath.Join(m.Jail, ".swap.new")); err == nil {
			t.Errorf("with %d: left an unfinished swap", n)
		}
	}
	claimsNothing(t, l)
	if ran["too few"] == 0 || ran["enough"] == 0 {
		t.Errorf("starts with descriptors that were %v", ran)
	}
}

// The account has as many processes as it may, outside of any jail.
func TestProcessLimit(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "nproc": "16"})
	l.Must("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "sh", "-c",
		"for i in $(seq 20); do sleep 1000 & done >/dev/null 2>&1")
	refused(t, m.Run("uml-run"), 111, "exec /linux in the jail: resource temporarily unavailable (guest has more processes than settings/nproc lets it, 16)")
	claimsNothing(t, l)
}

// No room for the lock, and none for uml/, which is made when all is claimed.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	for what, made := range map[string]string{"lock": "", "jail/uml": "install -m 600 /dev/null guest/lock"} {
		t.Run(filepath.Base(what), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := guest(l)
			l.Must("sh", "-c", fmt.Sprintf(`
				cd %s
				cp -a guest x
				mount -t tmpfs -o size=100M,nr_inodes=60,mode=755 none guest
				cp -a x/. guest
				rm -r x
				%s
				while touch guest/jail/$((i = i + 1)) 2>/dev/null; do :; done`, l.Machines, made))
			files := func() string {
				return l.Must("find", m.Dir, "-name", "lock", "-printf", "%P %y %m %U\n", "-o", "-printf", "%P %y %m %U %s %T@\n")
			}
			before := files()
			refused(t, m.Run("uml-run"), 111, what+": no space left on device")
			same(t, before, files())
			claimsNothing(t, l)
		})
	}
}

// Signals that mean nothing interrupt nothing: neither a wait nor a call.
func TestPelted(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64", "swap": "8M"})
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	cmd := l.Cmd(ctx, m.Dir, "uml-run")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; len(processes(t, l, m)) == 0 && ctx.Err() == nil; sent++ {
		signals := []unix.Signal{unix.SIGURG, unix.SIGWINCH, unix.SIGCONT, unix.SIGCHLD, unix.SIGSTOP, unix.SIGCONT}
		if err := unix.Kill(-cmd.Process.Pid, signals[sent%len(signals)]); err != nil {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	unix.Kill(-cmd.Process.Pid, unix.SIGCONT)
	l.Wait("the kernel", func() bool { return len(processes(t, l, m)) > 0 || ctx.Err() != nil })
	for _, pid := range processes(t, l, m) {
		l.Kill(pid, unix.SIGKILL)
	}
	cmd.Wait()
	if strings.Contains(said.String(), "uml-run:") || !begun(lab.Result{Err: said.String()}) && said.Len() > 0 {
		t.Errorf("after %d signals it said %s", sent, said.String())
	}
}

// Nobody reads what a start says: it waits to say it, as it must, but holds
// neither the lock nor an address meanwhile.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.MustOther("ip", "addr", "add", address+"/32", "dev", "lo") // it is refused
	reader, writer := fullPipe(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*lab.Patience)
	defer cancel()
	cmd := l.Cmd(ctx, m.Dir, "uml-run")
	cmd.Stderr = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	l.Wait("the start to write", func() bool {
		for _, pid := range l.Processes(func(s lab.Status) bool { return s["Name"] == "uml-run" }) {
			if text, err := os.ReadFile(l.Proc(pid, "wchan")); err == nil && bytes.Contains(text, []byte("pipe_write")) {
				return true
			}
			threads, _ := filepath.Glob(l.Proc(pid, "task/*/syscall"))
			for _, name := range threads {
				if text, err := os.ReadFile(name); err == nil && bytes.HasPrefix(text, []byte("1 0x2 ")) { // write(2, ...)
					return true
				}
			}
		}
		return false
	})
	if r := m.Run("flock", "--nonblock", "lock", "true"); r.Code != 0 {
		t.Error("it holds the lock")
	}
	claimsNothing(t, l)
	var said bytes.Buffer
	said.ReadFrom(reader)
	cmd.Wait()
	if got := strings.TrimLeft(said.String(), "\x00"); cmd.ProcessState.ExitCode() != 111 || !strings.HasPrefix(got, "uml-run: fatal: "+address) {
		t.Errorf("%v, said %q", cmd.ProcessState, got)
	}
}

// fullPipe is a pipe that holds as many NULs as it can.
func fullPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(fds[1], make([]byte, 4096)); errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
	}
	reader, writer = os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}
