package lock

import (
	"os"
	"testing"
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
	kernel, _ := hold(t, f.Name(), guest)
	want(kernel)
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
