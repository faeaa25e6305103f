package console

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/packet"
)

const (
	user     = 4242 // the machine's
	stranger = 4243
)

// handed is a viewer that is handed a console over, and whoever does that.
type handed struct {
	t      *testing.T
	guest  *Guest
	lock   int   // of the guest's terminal, as who serves has it
	mine   int   // the viewer's connection
	theirs int   // its other end
	others []int // what viewers would read from connections that were handed over
}

func newHanded(t *testing.T) *handed {
	t.Helper()
	master, slave := openPair(t)
	process, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(master, true)
	h := &handed{t: t, lock: slave}
	h.guest = &Guest{name: "guest", uid: user, process: process, given: &given{first: &terminal{h.dup(master), h.dup(slave)}}}
	h.mine, h.theirs = h.pair(unix.SOCK_SEQPACKET)
	return h
}

func (h *handed) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *handed) dup(fd int) int {
	h.t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	h.check(err)
	return n
}

func (h *handed) pair(kind int) (a, b int) {
	h.t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	h.check(err)
	return p[0], p[1]
}

// viewers are connections of so many others.
func (h *handed) viewers(n, kind int) (fds []int) {
	h.t.Helper()
	for range n {
		a, b := h.pair(kind)
		h.others, fds = append(h.others, a), append(fds, b)
	}
	return fds
}

// of is a connection whose other end is a user's.
func (h *handed) of(uid int) int {
	h.t.Helper()
	become := func(uid int) {
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 { // this thread only
			h.t.Fatal(e)
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become(uid)
	defer become(0)
	return h.viewers(1, unix.SOCK_SEQPACKET)[0]
}

// listener is a socket that can be connected to, at a path.
func (h *handed) listener(kind int) (fd int, at string) {
	h.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	h.check(err)
	at = filepath.Join(h.t.TempDir(), "socket")
	h.check(unix.Bind(fd, &unix.SockaddrUnix{Name: at}))
	h.check(unix.Listen(fd, maxViewers))
	return fd, at
}

// another is a connection whose other end is another process's.
func (h *handed) another() int {
	h.t.Helper()
	fd, at := h.listener(unix.SOCK_SEQPACKET)
	cmd := exec.Command("socat", "-u", "UNIX-CONNECT:"+at+",socktype=5", "STDOUT")
	h.check(cmd.Start())
	h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
	h.check(err)
	return c
}

func open(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// Whoever serves can be a process of the guest's user, which may hand over anything.
// What is not exactly a console is as if the other had gone without a word: nothing
// of it is used, or kept open, and the viewer begins anew.
func TestHostileHandOver(t *testing.T) {
	const listening = "and the socket"
	for name, hands := range map[string]func(h *handed) (string, []int){
		"nothing":             func(h *handed) (string, []int) { return "", nil },
		"nothing to listen":   func(h *handed) (string, []int) { return listening, nil },
		"a lock alone":        func(h *handed) (string, []int) { return "", []int{h.lock} },
		"a lock, to listen":   func(h *handed) (string, []int) { return listening, []int{h.lock, h.theirs} },
		"a file for the lock": func(h *handed) (string, []int) { return "", []int{open(h.t, "/dev/null"), h.theirs} },
		"another terminal":    func(h *handed) (string, []int) { _, s := openPair(h.t); return "", []int{s, h.theirs} },
		"a file to a viewer":  func(h *handed) (string, []int) { return "", []int{h.lock, h.theirs, open(h.t, "/dev/null")} },
		"a stream to a viewer": func(h *handed) (string, []int) {
			return "", append([]int{h.lock, h.theirs}, h.viewers(1, unix.SOCK_STREAM)...)
		},
		"a listener that joins": func(h *handed) (string, []int) {
			return listening, append([]int{h.lock, h.theirs}, h.viewers(1, unix.SOCK_SEQPACKET)...)
		},
		"a listener of streams": func(h *handed) (string, []int) {
			fd, _ := h.listener(unix.SOCK_STREAM)
			return listening, []int{h.lock, h.theirs, fd}
		},
		"a listener for a viewer": func(h *handed) (string, []int) {
			fd, _ := h.listener(unix.SOCK_SEQPACKET)
			return "", []int{h.lock, h.theirs, fd}
		},
		"to a stranger":       func(h *handed) (string, []int) { return "", []int{h.lock, h.theirs, h.of(stranger)} },
		"first to a stranger": func(h *handed) (string, []int) { return "", []int{h.lock, h.of(stranger), h.theirs} },
		"first to another":    func(h *handed) (string, []int) { return "", []int{h.lock, h.another(), h.theirs} },
		"one viewer too many": func(h *handed) (string, []int) {
			return "", append([]int{h.lock, h.theirs}, h.viewers(maxViewers, unix.SOCK_SEQPACKET)...)
		},
		"more than there fits": func(h *handed) (string, []int) {
			return "", append([]int{h.lock, h.theirs}, h.viewers(maxViewers+1, unix.SOCK_SEQPACKET)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHanded(t)
			text, fds := hands(h)
			h.check(unix.Flock(h.lock, unix.LOCK_EX|unix.LOCK_NB))
			h.check(packet.Send(h.theirs, message(hand, text), fds, 0))
			v := &view{Options: Options{Time: 1 << 40}}
			shown := make(chan error, 1)
			go func() { shown <- v.shows(t.Context(), h.mine, h.guest) }()
			select {
			case err := <-shown:
				if !errors.Is(err, errLost) {
					t.Fatalf("got %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it was taken")
			}

			// With theirs closed nobody has anything of it.
			h.guest.given.close()
			packet.Close(append(fds, h.theirs, h.lock))
			for _, fd := range append(h.others, h.mine) {
				b := make([]byte, 10)
				if n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT); n > 0 || errors.Is(err, unix.EAGAIN) {
					t.Errorf("descriptor %d: %d bytes came, %v: its other end is open still", fd, n, err)
				}
			}
		})
	}
}

// What one of the machine's users hands over is served as it was: to root and to the
// machine's user.
func TestHandOver(t *testing.T) {
	h := newHanded(t)
	listener, _ := h.listener(unix.SOCK_SEQPACKET)
	h.check(packet.Send(h.theirs, message(hand, "and the socket"), []int{h.lock, h.theirs, h.of(user), h.of(0), listener}, 0))
	b := make([]byte, 100)
	_, fds, err := packet.Receive(h.mine, b, 0)
	h.check(err)
	terminal, err := h.guest.take(t.Context(), "con1")
	h.check(err)
	hub, err := h.guest.adopt(terminal, "", true, fds)
	h.check(err)
	go hub.run()
	if _, err := unix.Write(h.lock, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, fd := range append(h.others, h.mine) {
		n, err := unix.Read(fd, b)
		if string(b[:max(0, n)]) != "ohello" {
			t.Errorf("viewer %d: %q, %v", fd, b[:max(0, n)], err)
		}
	}
	unix.Shutdown(h.mine, unix.SHUT_RDWR)
}
