package lock

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"uml/fault"
)

// Starts and refusals are counted, each by its reason, until more reasons come than are
// kept; a start that did not become the kernel after all is none, and its note gone.
func TestCounts(t *testing.T) {
	dir, f := openLock(t)
	leave := func(n Note) {
		t.Helper()
		n.Since = time.Unix(1, 0)
		if err := Leave(dir, n); err != nil {
			t.Fatal(err)
		}
	}
	want := func(starts uint64, refused map[fault.ID]uint64) {
		t.Helper()
		if _, c := Tell(dir); c.Starts != starts || !maps.Equal(c.Refused, refused) {
			t.Errorf("got %+v, want %d, %v", c, starts, refused)
		}
	}
	want(0, nil)
	leave(Note{Message: "x", ID: "disc-missing"})
	leave(Note{Message: strings.Repeat("long ", 500), ID: "disc-missing"})
	leave(Note{Message: "x", ID: "no\nid"})
	leave(Note{Message: "x"})
	leave(Note{Up: true, PID: 7})
	want(1, map[fault.ID]uint64{"disc-missing": 2, Other: 2})

	before := Read(dir)
	leave(Note{Up: true, PID: 8})
	if err := TakeBack(dir, before); err != nil || Read(dir) != before {
		t.Errorf("%v, %+v", err, Read(dir))
	}
	want(1, map[fault.ID]uint64{"disc-missing": 2, Other: 2})
	if err := TakeBack(dir, Note{}); err != nil || Read(dir) != (Note{}) {
		t.Errorf("%v, %+v", err, Read(dir))
	}

	for i := range 3 * maxReasons {
		leave(Note{Message: strings.Repeat("m", 2*maxNote), ID: fault.ID(fmt.Sprint(strings.Repeat("r", maxReason-2), i%100))})
	}
	if n, c := Tell(dir); len(c.Refused) != maxReasons+1 && len(c.Refused) != maxReasons || c.Refused["disc-missing"] != 2 || n.Message == "" {
		t.Errorf("%d reasons, %+v", len(c.Refused), n)
	}
	st, err := f.Stat()
	if err != nil || st.Size() >= maxText {
		t.Errorf("%v, %d bytes", err, st.Size())
	}
	if err := os.WriteFile(f.Name(), []byte("up 5 7\n"), 0o600); err != nil { // of a suite that did not count
		t.Fatal(err)
	}
	want(0, nil)
	leave(Note{Up: true, PID: 9})
	want(1, map[fault.ID]uint64{})
}

// Whatever stands there, what is written of it is read the same.
func FuzzParseCounts(f *testing.F) {
	for _, s := range []string{"", "starts 1\n", "starts 1 disc-missing 2 other 3\n", "starts -1\n", "starts 1 x\n", "starts 1 x 2 x 3", "up 1 2\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := parseCounts(s)
		if again := parseCounts(c.line()); again.Starts != c.Starts || !maps.Equal(again.Refused, c.Refused) || len(c.line()) > maxCounts {
			t.Errorf("%q: %+v, then %+v", s, c, again)
		}
	})
}
