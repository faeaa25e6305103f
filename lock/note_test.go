package lock

import (
	"os"
	"strings"
	"testing"
	"time"

	"uml/fault"
)

// Of starts that fail one after another the time of the first is left, and the
// message of the last.
func TestNote(t *testing.T) {
	dir, f := openLock(t)
	if n := Read(dir); n != (Note{}) {
		t.Errorf("in an empty file: got %+v", n)
	}
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, c := range []struct{ leave, want Note }{
		{Note{Since: at(100), Message: strings.Repeat("long ", 500)}, Note{Since: at(100), Message: strings.Repeat("long ", 200)}},
		{Note{Since: at(200), Message: "jail/ubd0: gone"}, Note{Since: at(100), Message: "jail/ubd0: gone"}},
		{Note{Up: true, PID: 1<<31 - 1, Since: at(300)}, Note{Up: true, PID: 1<<31 - 1, Since: at(300)}},
		{Note{Since: at(400), Message: "again", ID: fault.DiscBad}, Note{Since: at(400), Message: "again", ID: fault.DiscBad}},
		{Note{Since: at(500), Message: "and again"}, Note{Since: at(400), Message: "and again"}},
	} {
		if err := Leave(dir, c.leave); err != nil {
			t.Fatal(err)
		}
		if got := Read(dir); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	for _, text := range []string{"up", "up x", "fail 7 x", "up -1", "up 999999999999", "\x00", strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(f.Name(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := Read(dir); n != (Note{}) {
			t.Errorf("%.10q: got %+v", text, n)
		}
	}
	if err := os.WriteFile(f.Name(), []byte("failed 7 \x1b[2J\nstarts 1\n\x1b[2J\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := Read(dir); n.Message != `\x1b[2J` || n.ID != "" {
		t.Errorf("got %+v", n)
	}
}

// What is no process is none: a note of before had no number.
func TestNotePID(t *testing.T) {
	dir, f := openLock(t)
	for _, text := range []string{"up 7 ", "up 7", "up 7 x", "up 7 -1", "up 7 2147483648", "up 7 1 2"} {
		if err := os.WriteFile(f.Name(), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := Read(dir); n != (Note{Up: true, Since: time.Unix(7, 0)}) {
			t.Errorf("%q: got %+v", text, n)
		}
	}
}
