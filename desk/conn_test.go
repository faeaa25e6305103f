package desk

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/packet"
	"uml/request"
)

func pair(t *testing.T) (c *conn, asker int) {
	t.Helper()
	ours, theirs, err := packet.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(ours, true); err != nil {
		t.Fatal(err)
	}
	return newConn(ours), theirs
}

// Who is refused before his request was read hears why; who sent descriptors too,
// which no program of ours does, may hear of the reset first.
func TestRefusedUnread(t *testing.T) {
	for _, descriptors := range []bool{false, true} {
		c, asker := pair(t)
		defer unix.Close(asker)
		var fds []int
		if descriptors {
			fds = []int{asker}
		}
		for range 3 {
			if err := packet.Send(asker, []byte(`{"act":"status"}`), fds, 0); err != nil {
				t.Fatal(err)
			}
		}
		c.reply(request.Failed(fault.Temporary("too many")))
		c.close()
		b := make([]byte, 1000)
		n, _, err := packet.Receive(asker, b, 0)
		if descriptors && errors.Is(err, unix.ECONNRESET) {
			n, _, err = packet.Receive(asker, b, 0)
		}
		if err != nil || !strings.Contains(string(b[:n]), "too many") {
			t.Errorf("descriptors %v: got %q, %v", descriptors, b[:n], err)
		}
		if err := packet.Send(asker, []byte("x"), nil, 0); !errors.Is(err, unix.EPIPE) && !(descriptors && errors.Is(err, unix.ECONNRESET)) {
			t.Errorf("descriptors %v: sent after the end: %v", descriptors, err)
		}
	}
}

func TestReceive(t *testing.T) {
	for name, c := range map[string]struct {
		send func(asker int) error
		want error
	}{
		"request":     {func(asker int) error { return packet.Send(asker, []byte("x"), nil, 0) }, nil},
		"longest":     {func(asker int) error { return packet.Send(asker, make([]byte, request.Max), nil, 0) }, nil},
		"longer":      {func(asker int) error { return packet.Send(asker, make([]byte, request.Max+1), nil, 0) }, errLong},
		"longest yet": {func(asker int) error { return packet.Send(asker, make([]byte, 100<<10), nil, 0) }, errLong},
		"descriptors": {func(asker int) error { return packet.Send(asker, []byte("x"), []int{asker}, 0) }, errRights},
		"nothing":     {func(int) error { return nil }, errSilent},
		"empty":       {func(asker int) error { return packet.Send(asker, nil, nil, 0) }, errHungUp},
		"no more":     {func(asker int) error { return unix.Shutdown(asker, unix.SHUT_WR) }, errHungUp},
	} {
		here, asker := pair(t)
		if err := c.send(asker); err != nil {
			t.Fatal(err)
		}
		here.f.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if b, err := here.receive(); !errors.Is(err, c.want) || (err == nil) != (b != nil) {
			t.Errorf("%s: got %d bytes, %v", name, len(b), err)
		}
		here.close()
		unix.Close(asker)
	}
}

// An answer waits for nobody.
func TestReplyUnread(t *testing.T) {
	c, asker := pair(t)
	defer unix.Close(asker)
	defer c.close()
	var err error
	for n := 0; err == nil; n++ {
		if err = c.reply(request.Answer{Step: strings.Repeat("x", 10000)}); n > 10000 {
			t.Fatal("no end")
		}
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %v", err)
	}
}

// What is waited for ends when the asker hangs up, and when he says more.
func TestWatched(t *testing.T) {
	for name, do := range map[string]func(asker int){
		"hangs up":  func(asker int) { unix.Shutdown(asker, unix.SHUT_RDWR) },
		"says more": func(asker int) { packet.Send(asker, []byte("x"), nil, 0) },
	} {
		c, asker := pair(t)
		ctx, end := c.watched()
		do(asker)
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Errorf("%s: goes on", name)
		}
		end()
		c.close()
		unix.Close(asker)
	}
	c, asker := pair(t)
	ctx, end := c.watched()
	if ctx.Err() != nil {
		t.Error("ended by itself")
	}
	end()
	if ctx.Err() == nil {
		t.Error("goes on after its end")
	}
	c.close()
	unix.Close(asker)
}

// What was sent along with a request is closed by whoever drops it last, and its
// owner says how long that takes: nobody is held up by it.
func TestCloseLingers(t *testing.T) {
	for name, send := range map[string]func(asker, fd int) error{
		"unread": func(asker, fd int) error { return packet.Send(asker, []byte("x"), []int{fd}, 0) },
		"empty":  func(asker, fd int) error { return packet.Send(asker, nil, []int{fd}, 0) },
		"behind an empty": func(asker, fd int) error {
			return errors.Join(packet.Send(asker, nil, nil, 0), packet.Send(asker, nil, []int{fd}, 0))
		},
		"behind a request": func(asker, fd int) error {
			return errors.Join(packet.Send(asker, []byte("x"), nil, 0), packet.Send(asker, []byte("x"), []int{fd}, 0))
		},
	} {
		for _, received := range []bool{false, true} {
			c, asker := pair(t)
			fd := lingering(t)
			if err := send(asker, fd); err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			done := make(chan struct{})
			go func() {
				if received {
					c.receive()
				}
				c.close()
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Errorf("%s, received %v: still closing", name, received)
			}
			unix.Close(asker)
		}
	}
}

// lingering is a TCP socket whose last close waits for an hour.
func lingering(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		unix.Connect(fd, &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}),
		unix.SetNonblock(fd, true),
	); err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept() // and never reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	for b := make([]byte, 64<<10); err == nil; {
		_, err = unix.Write(fd, b)
	}
	return fd
}
