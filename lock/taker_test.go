package lock

import (
	"os"
	"testing"
	"time"

	"uml/handle"
)

func TestTaker(t *testing.T) {
	dir, f := openLock(t)
	want := func(pid int) {
		t.Helper()
		h, err := Taker(dir)
		if err != nil || (h == nil) != (pid == 0) || h != nil && h.PID != pid {
			t.Errorf("got %+v, %v, want process %d", h, err, pid)
		}
	}
	want(0)
	kernel, child := hold(t, f.Name(), guest)
	want(kernel)
	for _, noted := range []int{kernel, child, os.Getpid(), 0, 1<<31 - 1} {
		if err := Leave(dir, Note{Up: true, PID: noted, Since: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
		want(kernel)
	}
	if err := Leave(dir, Note{Up: true, PID: kernel, Since: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	kill(t, kernel) // the lock goes on naming it, and a stray holds it
	want(0)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	want(0)
	if err := os.Symlink("/etc/passwd", f.Name()); err != nil {
		t.Fatal(err)
	}
	if h, err := Taker(dir); err == nil {
		t.Errorf("a link: got %+v", h)
	}
}

// The table is believed of a process that is said to live, else it is looked at.
func TestTable(t *testing.T) {
	dir, f := openLock(t)
	kernel, child := hold(t, f.Name(), guest)
	want := func(dir *handle.Dir, likely, pid int, left bool) {
		t.Helper()
		h, taken, err := NewTable().Taker(dir, likely)
		if err != nil || (h == nil) != (pid == 0) || h != nil && h.PID != pid || taken != left {
			t.Errorf("likely %d: got %+v, %v, %v, want process %d, %v", likely, h, taken, err, pid, left)
		}
	}
	for _, likely := range []int{0, child, kernel} {
		want(dir, likely, kernel, true)
	}
	kill(t, kernel) // left to a stray
	want(dir, 0, 0, true)
	other, err := handle.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	want(other, 0, 0, false) // no lock file
	if err := os.WriteFile(other.Join(Name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(other, 0, 0, false) // nobody's
}

func TestUser(t *testing.T) {
	for _, c := range []struct {
		ids  [4]int
		want int
	}{
		{[4]int{guest, guest, guest, guest}, guest},
		{[4]int{0, 0, 0, 0}, 0},
		{[4]int{guest, guest, 0, guest}, 0},
	} {
		if got := (Holder{UIDs: c.ids}).User(); got != c.want {
			t.Errorf("%v: got %d, want %d", c.ids, got, c.want)
		}
	}
}
