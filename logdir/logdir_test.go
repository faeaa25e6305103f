package logdir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A logger is a real one that rotates often and keeps all.
type logger struct {
	cmd *exec.Cmd
	to  *os.File
}

func start(t *testing.T, args ...string) *logger {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	l := &logger{cmd, w}
	t.Cleanup(func() { l.end() })
	return l
}

func (l *logger) end() {
	l.to.Close()
	l.cmd.Wait()
}

func multilog(t *testing.T, dir string) *logger {
	return start(t, "multilog", "t", "s4096", "n1000", dir)
}

// say has lines from..to-1 logged.
func (l *logger) say(from, to int) {
	for i := from; i < to; i++ {
		fmt.Fprintf(l.to, "line %d %s\n", i, strings.Repeat(".", i%70))
	}
}

// numbers are those of the lines, in their order.
func numbers(t *testing.T, text string) (all []int) {
	t.Helper()
	for line := range strings.Lines(text) {
		var n int
		if _, after, ok := strings.Cut(line, "line "); !ok || line[4] != '-' {
			t.Errorf("not a line with its time: %q", line)
		} else if fmt.Sscan(after, &n); true {
			all = append(all, n)
		}
	}
	return all
}

func wantNumbers(t *testing.T, text string, from, to int) {
	t.Helper()
	got := numbers(t, text)
	if len(got) != to-from {
		t.Fatalf("got %d lines, want %d", len(got), to-from)
	}
	for i, n := range got {
		if n != from+i {
			t.Fatalf("line %d stands where %d should", n, from+i)
		}
	}
}

// The lines before the rotation count as those after it.
func TestTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "main")
	l := multilog(t, dir)
	l.say(0, 1000)
	l.end()
	if rotated, _ := filepath.Glob(dir + "/@*.s"); len(rotated) < 5 {
		t.Fatalf("rotated only %d times", len(rotated))
	}
	for _, n := range []int{-1, 0, 1, 2, 99, 500, 1000, 2000} {
		var out bytes.Buffer
		if err := Tail(&out, dir, n); err != nil {
			t.Fatal(err)
		}
		from := max(0, 1000-n)
		if n < 0 {
			from = 0
		}
		wantNumbers(t, out.String(), from, 1000)
	}
}

// Every line once, in order, whatever is rotated meanwhile; and an end when nobody
// reads any more.
func TestFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "main")
	l := multilog(t, dir)
	l.say(0, 100)
	wait(t, "the first lines", func() bool {
		var out bytes.Buffer
		return Tail(&out, dir, -1) == nil && strings.Contains(out.String(), "line 99 ")
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Follow(w, dir, 10) }()
	var out strings.Builder
	b := make([]byte, 32<<10)
	until := func(text string) {
		t.Helper()
		for !strings.Contains(out.String(), text) || !strings.HasSuffix(out.String(), "\n") {
			n, err := r.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(b[:n])
		}
	}
	until("line 99 ")
	const last = 20000 // some 250 files
	go func() {
		l.say(100, last/2)
		l.to.Close() // another logger goes on
		l.cmd.Wait()
		l := multilog(t, dir)
		l.say(last/2, last)
		l.to.Close()
	}()
	until(fmt.Sprintf("line %d ", last-1))
	wantNumbers(t, out.String(), 90, last)
	r.Close()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("goes on though nobody reads")
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("waited in vain for", what)
}

// s6-log's stamps count leap seconds, svlogd's do not.
func TestOtherLoggers(t *testing.T) {
	for name, args := range map[string][]string{"s6-log": {"s6-log", "t"}, "svlogd": {"svlogd", "-t"}} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "main")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			l := start(t, append(args, dir)...)
			before := time.Now().Truncate(time.Millisecond)
			l.say(0, 1)
			var at time.Time
			wait(t, "the line", func() bool {
				var out bytes.Buffer
				if Tail(&out, dir, 1) != nil || out.Len() < len(layout) {
					return false
				}
				at, _ = time.ParseInLocation(layout, out.String()[:len(layout)], time.Local)
				return true
			})
			if at.Before(before) || at.After(time.Now()) {
				t.Errorf("said at %v, which was after %v", at, before)
			}
		})
	}
}

// A logger that was killed has not ended its line.
func TestCutLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "@400000006b05bf061a20492c.u", "@400000006b05bf051a20492c line 0\n@400000006b05bf051a20492c line 1")
	write(t, dir, "@400000006b05bf071a20492c.s", "@400000006b05bf061a20492c line 2\n@400000006b05bf061a20492c li")
	write(t, dir, "current", "ne 3\n@400000006b05bf071a20492c line 4")
	var out bytes.Buffer
	if err := Tail(&out, dir, -1); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, out.String(), 0, 5)
}

// A log that grows as fast as it is printed has an end all the same.
func TestGrows(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "current", "line 0\n")
	printed := 0
	if err := Tail(writer(func(b []byte) (int, error) {
		printed += bytes.Count(b, []byte("\n"))
		f, err := os.OpenFile(filepath.Join(dir, "current"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if printed > 10 {
			return 0, errors.New("it goes on")
		}
		_, err = f.WriteString("more\n")
		return len(b), err
	}), dir, -1); err != nil || printed != 1 {
		t.Errorf("got %d lines, %v", printed, err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// The directory is the logger's to write, and what is in it is read by root.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "secret", "secret\n")
	for _, c := range []struct {
		name string
		put  func(at string) error
		want string
	}{
		{"link", func(at string) error { return os.Symlink(filepath.Join(dir, "secret"), at) }, "current: is a symbolic link, not a regular file"},
		{"fifo", func(at string) error { return exec.Command("mkfifo", at).Run() }, "current: is a fifo, not a regular file"},
		{"directory", func(at string) error { return os.Mkdir(at, 0o755) }, "current: is a directory, not a regular file"},
	} {
		at := filepath.Join(dir, c.name)
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := c.put(filepath.Join(at, "current")); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Tail(&out, at, -1); err == nil || !strings.HasSuffix(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s: got %v, %q", c.name, err, out.String())
		}
	}
}

func TestOf(t *testing.T) {
	m := t.TempDir()
	if _, err := Of(m); err == nil || !strings.Contains(err.Error(), "no log is kept") {
		t.Errorf("without log/: got %v", err)
	}
	write(t, m, "log/run", "#!/bin/sh\n")
	if _, err := Of(m); err == nil || !strings.Contains(err.Error(), "nothing was logged yet") {
		t.Errorf("without a file: got %v", err)
	}
	for i, dir := range []string{"log", "log/old", "log/main"} {
		write(t, m, dir+"/current", "")
		now := time.Now().Add(time.Duration(i) * time.Minute)
		if err := os.Chtimes(filepath.Join(m, dir, "current"), now, now); err != nil {
			t.Fatal(err)
		}
		if got, err := Of(m); got != filepath.Join(m, dir) || err != nil {
			t.Errorf("got %v, %v, want %s", got, err, dir)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
