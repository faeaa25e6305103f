package lock

import (
	"os"
	"testing"

	"uml/handle"
)

func see(t *testing.T, dir *handle.Dir) (*Held, []Holder, error) {
	t.Helper()
	all, err := TakeCensus()
	if err != nil {
		t.Fatal(err)
	}
	return See(dir, guest, all)
}

func TestSee(t *testing.T) {
	dir, f := openLock(t)
	if by, strays, err := see(t, dir); by != nil || strays != nil || err != nil {
		t.Errorf("let go: got %v, %v, %v", by, strays, err)
	}
	kernel, child := hold(t, f.Name(), guest)
	if by, strays, err := see(t, dir); by == nil || by.PID != kernel || len(strays) != 2 || err != nil {
		t.Errorf("held: got %v, %v, %v, want by %d", by, strays, err, kernel)
	}
	kill(t, kernel)
	if by, strays, err := see(t, dir); by != nil || len(strays) != 1 || strays[0].PID != child || err != nil {
		t.Errorf("strays: got %v, %v, %v, want stray %d", by, strays, err, child)
	}
}

func TestSeeOthers(t *testing.T) {
	dir, f := openLock(t)
	flock, other := hold(t, f.Name(), guest+1)
	kill(t, flock)
	by, _, err := see(t, dir)
	if by != nil {
		t.Errorf("got %v, want an error alone", by)
	}
	wantHeld(t, err, other)
}

// See makes and mends nothing.
func TestSeeChangesNothing(t *testing.T) {
	dir, f := openLock(t)
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		t.Fatal(err)
	}
	see(t, dir)
	if st, err := os.Stat(f.Name()); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("got %v, %v, want the mode as it was", st, err)
	}
	os.Remove(f.Name())
	see(t, dir)
	if _, err := os.Lstat(f.Name()); !os.IsNotExist(err) {
		t.Errorf("the lock file was made: %v", err)
	}
}

func TestSeeDisc(t *testing.T) {
	_, disc := openLock(t)
	kernel, child := hold(t, disc.Name(), guest)
	all, err := TakeCensus()
	if err != nil {
		t.Fatal(err)
	}
	wantHeld(t, SeeDisc(disc, nil, false, all), kernel)
	if err := SeeDisc(disc, []Holder{{PID: kernel, Taker: kernel}, {PID: child, Taker: kernel}}, false, all); err != nil {
		t.Errorf("its own: got %v", err)
	}
}
