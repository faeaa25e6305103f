package lock

import (
	"os"
	"strings"
	"testing"
	"time"

	"uml/handle"
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
		{Note{Up: true, Since: at(300)}, Note{Up: true, Since: at(300)}},
		{Note{Since: at(400), Message: "again"}, Note{Since: at(400), Message: "again"}},
	} {
		if err := Leave(dir, c.leave); err != nil {
			t.Fatal(err)
		}
		if got := Read(dir); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	for _, text := range []string{"up", "up x", "fail 7 x", "\x00", strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(f.Name(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := Read(dir); n != (Note{}) {
			t.Errorf("%.10q: got %+v", text, n)
		}
	}
}

// The table is believed of a process that is said to live, else it is looked at.
func TestTable(t *testing.T) {
	dir, f := openLock(t)
	kernel, child := hold(t, f.Name(), guest)
	taker := func(likely int) int {
		t.Helper()
		table, err := ReadTable()
		if err != nil {
			t.Fatal(err)
		}
		h, err := table.Taker(dir, likely)
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			return 0
		}
		return h.PID
	}
	for _, likely := range []int{0, child, kernel} {
		if got := taker(likely); got != kernel {
			t.Errorf("of %d and %d, likely %d: got %d", kernel, child, likely, got)
		}
	}
	kill(t, kernel)
	if got := taker(0); got != 0 {
		t.Errorf("left to a stray: got %d", got)
	}
	if table, err := ReadTable(); err != nil || !table.Taken(dir) {
		t.Errorf("left to a stray, and not taken: %v", err)
	}
	other, err := handle.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if table, err := ReadTable(); err != nil || table.Taken(other) {
		t.Errorf("no lock file, and taken: %v", err)
	}
}
