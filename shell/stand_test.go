package shell

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"uml/packet"
	"uml/request"
)

const silent = 7

// nobody is the account that the shells of these tests run as.
const nobody = 65534

// A stand stands in for uml-shelld, which has tests of its own on real guests: it
// answers each act with what is said here, and has the console of a guest that is the
// test's.
type stand struct {
	t       *testing.T
	socket  string
	answers map[request.Act]request.Answer
	guest   *os.File // its end of the terminal pair
	master  int
	uml     int

	mu    sync.Mutex
	asked []request.Request
}

func newStand(t *testing.T, answers map[request.Act]request.Answer) *stand {
	t.Helper()
	dir := t.TempDir()
	s := &stand{t: t, answers: answers, socket: filepath.Join(dir, "socket")}
	uml := filepath.Join(dir, "uml")
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	err = errors.Join(err, unix.Bind(listener, &unix.SockaddrUnix{Name: s.socket}), unix.Listen(listener, 64),
		os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(s.socket, 0o666), os.Mkdir(uml, 0o700), os.Chown(uml, nobody, nobody))
	if err != nil {
		t.Fatal(err)
	}
	s.uml, err = unix.Open(uml, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master, slave := pair(t)
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	s.master, s.guest = int(master.Fd()), slave
	unix.SetNonblock(s.master, true)
	t.Cleanup(func() {
		unix.Shutdown(listener, unix.SHUT_RDWR)
		unix.Close(listener)
		unix.Close(s.uml)
		master.Close()
	})
	go s.accept(listener)
	return s
}

func (s *stand) accept(listener int) {
	for {
		sock, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		go s.serve(sock)
	}
}

func (s *stand) serve(sock int) {
	defer unix.Close(sock)
	b := make([]byte, request.Max)
	n, fds, err := packet.Receive(sock, b, 0)
	packet.Close(fds)
	if err != nil {
		return
	}
	r, err := request.Parse(b[:n])
	if err != nil {
		request.Reply(sock, request.Failed(err))
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	switch r.Act {
	case request.Stop:
		request.Reply(sock, request.Answer{Step: "asked its init"})
		time.Sleep(1100 * time.Millisecond)
	case request.Restart: // until nobody waits
		packet.Receive(sock, b, 0)
		return
	case request.Console:
		s.console(sock, r)
		return
	case request.Log:
		s.log(sock, r.Lines)
		return
	}
	request.Reply(sock, s.answers[r.Act])
}

// console gives the guest's. Of con2 there is none: who waits for it waits.
func (s *stand) console(sock int, r request.Request) {
	if r.Channel == "con2" {
		if r.Wait {
			packet.Receive(sock, make([]byte, 1), 0)
			return
		}
		request.Reply(sock, request.Answer{Code: 111, Fault: "web: the guest is down"})
		return
	}
	process, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer unix.Close(process)
	slave, err := peer(s.master)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer unix.Close(slave)
	request.Reply(sock, request.Answer{}, process, s.uml, s.master, slave)
}

// log is a guest's that boots, or of so many lines one that says nothing.
func (s *stand) log(sock, lines int) {
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Error(err)
		return
	}
	if lines == silent {
		request.Reply(sock, request.Answer{}, int(r.Fd()))
		r.Close()
		packet.Receive(sock, make([]byte, 1), 0)
		<-s.t.Context().Done()
		w.Close()
		return
	}
	io.WriteString(w, "Linux version 6\n")
	request.Reply(sock, request.Answer{}, int(r.Fd()))
	r.Close()
	for {
		time.Sleep(time.Second) // as the service looks
		if _, err := io.WriteString(w, "init has started\n"); err != nil {
			break
		}
	}
	w.Close()
}

// acts are all that was asked for.
func (s *stand) acts() []request.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request.Request(nil), s.asked...)
}

// reads is what the guest reads, so many bytes.
func (s *stand) reads(n int) string {
	s.t.Helper()
	b := make([]byte, n)
	s.guest.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.ReadFull(s.guest, b); err != nil {
		s.t.Fatalf("the guest has read %q: %v", b[:n], err)
	}
	return string(b)
}
