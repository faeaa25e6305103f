package test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/packet"
	"uml/request"
	"uml/test/lab"
)

// The log belongs to its logger, and no byte of it is anybody's but the machine's.
func TestShelldLog(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	l.Account("logger")
	l.Shelld()
	none := func(code int, want string) {
		t.Helper()
		if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Log, Lines: 2}); a.Code != code || a.Fault != want {
			t.Errorf("got %d %q, want %d %q", a.Code, a.Fault, code, want)
		}
	}
	none(100, "no log is kept of it: the host's administrator can have one kept")
	dir := m.Dir + "/log/main"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	none(111, "nothing was logged yet")
	if err := os.WriteFile(dir+"/current", []byte("one\ntwo\nthree\x1b[2J\x07\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Must("chown", "-R", "logger", dir)
	_, fds := must(t, l, m.UID, request.Request{Act: request.Log, Lines: 2})
	if text, err := readAll(fds[0]); err != nil || text != "two\nthree\\a\n" {
		t.Errorf("got %q, %v", text, err)
	}
	_, fds = must(t, l, m.UID, request.Request{Act: request.Log, Lines: 1, Follow: true})
	if text := readTo(t, fds[0], "\n"); text != "three\\a\n" {
		t.Errorf("got %q", text)
	}
	f, err := os.OpenFile(dir+"/current", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("four\n"); err != nil {
		t.Fatal(err)
	}
	if text := readTo(t, fds[0], "four\n"); text != "four\n" {
		t.Errorf("got %q", text)
	}
	// Nobody reads any more: it ends, and says so.
	unix.Close(fds[0])
	l.Wait("the end of it", func() bool { return strings.Count(l.ShelldLog(), "bara: log: done") == 2 })
}

// Descriptors that nobody receives stay the account's own trouble.
func TestShelldUnheard(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	l.Must("sh", "-ec", "mkdir -p $0/log/main; echo line >$0/log/main/current", m.Dir)
	l.Shelld()
	var all []int
	defer func() { packet.Close(all) }()
	for i := range 8 {
		sock := l.Ask(m.UID)
		all = append(all, sock)
		if err := packet.Send(sock, []byte(`{"act":"log","lines":1}`), nil, 0); err != nil {
			t.Fatal(err)
		}
		switch i % 3 { // to be let go
		case 1:
			unix.Shutdown(sock, unix.SHUT_WR)
		case 2:
			packet.Send(sock, nil, nil, 0)
			packet.Send(sock, []byte("more"), nil, 0)
		}
	}
	l.Wait("eight logs", func() bool { return strings.Count(l.ShelldLog(), "bara: log: done") == 8 })
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Status}); !strings.Contains(a.Fault, "too many connections of this account, 8") {
		t.Errorf("got %+v", a)
	}
	for _, sock := range all {
		unix.Close(sock)
	}
	all = nil
	l.Wait("them to be let go", func() bool {
		a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Status})
		return a.Code == 0
	})
}

// readTo reads until what it has read ends so.
func readTo(t *testing.T, fd int, end string) (text string) {
	t.Helper()
	b := make([]byte, 100)
	for !strings.HasSuffix(text, end) {
		n, err := unix.Read(fd, b)
		if n <= 0 {
			t.Fatalf("%d, %v after %q", n, err, text)
		}
		text += string(b[:n])
	}
	return text
}

func readAll(fd int) (text string, err error) {
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, b)
		if n <= 0 {
			return text, err
		}
		text += string(b[:n])
	}
}
