package metrics

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// Any account can ask and not read what comes, in pieces as small as it likes, so that the
// kernel keeps little of it.
func TestNobodyReads(t *testing.T) {
	root := t.TempDir()
	var counts strings.Builder
	for i := range 30 {
		fmt.Fprintf(&counts, " reason-%d 1", i)
	}
	for i := range 40 {
		name := fmt.Sprint("machine-", i)
		machine(t, root, name, "64M")
		if err := os.WriteFile(filepath.Join(root, name, "lock"), []byte("\nstarts 1"+counts.String()+"\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(Options{Machines: root, Service: "/nosuch", Say: func(string) {}})
	go s.Serve(&door{Listener: l})
	defer s.Close()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 200)
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048)
		})
	}}
	for range 5 {
		c, err := small.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 12)); err != nil { // it is served
			t.Fatal(err)
		}
	}
	for range 2 {
		r, err := http.Get("http://" + l.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusOK || err != nil || len(parse(t, text)) < 10 {
			t.Fatalf("%s, %v: %d bytes", r.Status, err, len(text))
		}
	}
}

// Who comes is let in, and who has been there for longest goes; nobody while there is room.
func TestDoor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l}
	defer d.Close()
	var clients, within []net.Conn
	for range maxConnections + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	let := make(chan net.Conn)
	go func() {
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			let <- c
		}
	}()
	in := func() {
		t.Helper()
		select {
		case c := <-let:
			within = append(within, c)
		case <-time.After(time.Minute):
			t.Fatal("somebody stays outside")
		}
	}
	for range clients {
		in()
	}
	if _, err := clients[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the first is still there: %v", err)
	}
	within[5].Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in()
	for i, w := range within {
		_, err := w.Write([]byte("x"))
		if gone := slices.Contains([]int{0, 5}, i); (err != nil) != gone {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// What the host has not yet may come; what is no address stays none.
func TestListen(t *testing.T) {
	for at, want := range map[string]int{"192.0.2.77:9743": 111, "127.0.0.1": 100, "127.0.0.1:nosuch": 100, "127.0.0.1:99999": 100} {
		if got := fault.Code(listen(at)); got != want {
			t.Errorf("%s: got %d, want %d", at, got, want)
		}
	}
}
