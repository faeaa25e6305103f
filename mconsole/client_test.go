package mconsole

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

const (
	user    = 61007
	actor   = "MCONSOLE_ACTOR"
	listens = "listens"
)

// patience ends only what would else hang.
const patience = time.Minute

// The test's own program is the kernel that answers: in a root of its own, as an
// ordinary user.
func TestMain(m *testing.M) {
	if how := os.Getenv(actor); how != "" {
		if err := act(how); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// act answers each request in its way.
func act(how string) error {
	if err := errors.Join(syscall.Chroot("."), os.Chdir("/"), syscall.Setgroups(nil), syscall.Setgid(user), syscall.Setuid(user)); err != nil {
		return err
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(sock, &unix.SockaddrUnix{Name: "uml/guest/mconsole"}); err != nil {
		return err
	}
	fmt.Println(listens)
	for {
		b := make([]byte, 1024)
		n, from, err := unix.Recvfrom(sock, b, 0)
		if err != nil {
			return err
		}
		say := func(b []byte) error { return unix.Sendto(sock, b, 0, from) }
		switch how {
		case "honest":
			text := fmt.Sprintf("%q", b[:n])
			err = say(datagram(0, 0, uint32(len(text)+1), text+"\x00"))
		case "long":
			for i := range uint32(60) { // a kernel does not wait for who reads slowly
				err = errors.Join(err, unix.Sendto(sock, datagram(0, 59-i, 512, strings.Repeat("x", 511)+"\x00"), unix.MSG_DONTWAIT, from))
			}
		case "late error":
			err = errors.Join(say(datagram(1, 1, 6, "Read \x00")), say(datagram(0, 0, 7, "failed\x00")))
		case "lies first":
			err = errors.Join(say(datagram(0, 0, 1<<31, "lie\x00")), say(nil), say(make([]byte, 60000)), say(datagram(0, 0, 6, "truth\x00")))
		case "lingers":
			err = lingers(sock, from)
		case "lingers after":
			err = errors.Join(say(datagram(0, 0, 6, "truth\x00")), lingers(sock, from))
		case "cut":
			err = say(datagram(0, 1, 5, "part\x00"))
		case "ends":
			return say(datagram(0, 1, 5, "part\x00"))
		case "endless":
			for err == nil {
				err = say(datagram(0, 1, 5, "more\x00"))
			}
			return nil
		case "shouts lies":
			for err == nil {
				err = say(datagram(0, 0, 1<<30, "lie\x00"))
			}
			return nil
		case "silent":
		}
		if err != nil {
			return err
		}
	}
}

// lingers sends a TCP socket whose last close waits for an hour, unless who closes
// it ends.
func lingers(sock int, to unix.Sockaddr) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listeners = append(listeners, l)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := errors.Join(
		unix.Connect(fd, &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}),
		unix.SetNonblock(fd, true)); err != nil {
		return err
	}
	for b := make([]byte, 64<<10); err == nil; {
		_, err = unix.Write(fd, b) // and nobody reads
	}
	return errors.Join(
		unix.Sendmsg(sock, datagram(0, 0, 6, "truth\x00"), unix.UnixRights(fd), to, 0),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}))
}

var listeners []net.Listener // not collected

// kernel starts an answering process, and returns its number and its root.
func kernel(t *testing.T, how string) (pid int, root string) {
	t.Helper()
	root = t.TempDir()
	for _, d := range []string{root + "/uml", root + "/uml/guest"} {
		if err := errors.Join(os.Mkdir(d, 0o700), os.Chown(d, user, user)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir, cmd.Env = root, append(os.Environ(), actor+"="+how)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	said := make([]byte, 200)
	if n, _ := out.Read(said); string(said[:n]) != listens+"\n" {
		t.Fatalf("the answering process said %q", said[:n])
	}
	return cmd.Process.Pid, root
}

func dial(t *testing.T, pid int) *Client {
	t.Helper()
	c, err := Dial(pid, user, "guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ask(t *testing.T, pid int, wait time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return dial(t, pid).Ask(ctx, "version")
}

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		how     string
		wait    time.Duration
		want    string
		wantErr string
		code    int
	}{
		{"honest", patience, `"\xbe\xba\xfe\xca\x02\x00\x00\x00\b\x00\x00\x00version\x00"`, "", fault.OK},
		{"long", patience, strings.Repeat("x", 60*511), "", fault.OK},
		{"late error", patience, "", `guest: the guest's kernel refuses "version": Read failed`, fault.MustMend},
		{"lies first", patience, "truth", "", fault.OK},
		{"lingers", patience, "", "guest: sends descriptors, which no guest's kernel does", fault.MayPass},
		{"lingers after", patience, "truth", "", fault.OK},
		{"cut", time.Second, "part", `guest: the answer to "version" is cut after 4 bytes: nothing more came in time`, fault.MayPass},
		{"ends", patience, "part", `guest: the answer to "version" is cut after 4 bytes: the guest ended`, fault.MayPass},
		{"endless", patience, strings.Repeat("more", maxParts), `guest: the answer to "version" is cut after 32768 bytes: it has no end`, fault.MayPass},
		{"shouts lies", time.Second, "", `guest: no answer to "version", which may have been done all the same: nothing more came in time`, fault.MayPass},
		{"silent", time.Second, "", `guest: no answer to "version", which may have been done all the same: nothing more came in time`, fault.MayPass},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			pid, root := kernel(t, c.how)
			got, err := ask(t, pid, c.wait)
			for wait := c.wait; c.how == "cut" && got == "" && wait < patience; wait *= 2 { // a busy host
				got, err = ask(t, pid, wait)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != c.want || text != c.wantErr || fault.Code(err) != c.code {
				t.Errorf("got %.200q, %q (%d)\nwant %.200q, %q (%d)", got, text, fault.Code(err), c.want, c.wantErr, c.code)
			}
			left, err := filepath.Glob(root + "/uml/*")
			if err != nil || len(left) != 1 {
				t.Errorf("left in uml: %q, %v", left, err)
			}
		})
	}
}

// An answer that anybody else gives is none, though it comes from the socket.
func TestAskAnother(t *testing.T) {
	pid, _ := kernel(t, "honest")
	other, root := kernel(t, "silent")
	c := dial(t, pid)
	c.pid = other // its kernel, by all that is known
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if text, err := c.Ask(ctx, "version"); err == nil {
		t.Errorf("%s: got %q", root, text)
	}
}

// What lies in the socket's place is not sent to.
func TestDialRefused(t *testing.T) {
	pid, root := kernel(t, "silent")
	at := root + "/uml/guest/mconsole"
	real := root + "/real"
	if err := os.Rename(at, real); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, wantErr string
		put           func() error
	}{
		{"nothing", "no such file or directory (is the guest just starting, or was it removed?)", func() error { return nil }},
		{"a file", "is a regular file, not a socket", func() error { return os.WriteFile(at, nil, 0o600) }},
		{"a fifo", "is a fifo, not a socket", func() error { return unix.Mkfifo(at, 0o600) }},
		{"a link", "is a symbolic link, not a socket", func() error { return os.Symlink("/real", at) }},
		{"a link on the way", "too many levels of symbolic links", func() error {
			return errors.Join(os.Rename(root+"/uml/guest", root+"/elsewhere"), os.Symlink("/elsewhere", root+"/uml/guest"), os.Link(real, root+"/elsewhere/mconsole"))
		}},
		{"another's socket", fmt.Sprintf("belongs to user 0, not to the guest's, %d", user), func() error {
			return errors.Join(os.Remove(root+"/uml/guest"), os.Mkdir(root+"/uml/guest", 0o700), unix.Mknod(at, unix.S_IFSOCK|0o666, 0))
		}},
	} {
		os.Remove(at)
		if err := c.put(); err != nil {
			t.Fatal(err)
		}
		if _, err := Dial(pid, user, "guest"); err == nil || !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.wantErr)
		}
	}
}

// The process ended, and its socket was left.
func TestAskDead(t *testing.T) {
	pid, _ := kernel(t, "silent")
	c := dial(t, pid)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if text, err := c.Ask(ctx, "version"); fault.Code(err) != fault.MayPass || ctx.Err() != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestAskStopped(t *testing.T) {
	pid, _ := kernel(t, "silent")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := dial(t, pid).Ask(ctx, "version")
	if want := `guest: no answer to "version", which may have been done all the same: told to stop`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
