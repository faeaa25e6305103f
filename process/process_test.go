package process

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const rest = " S 1 7 7 0 -1 4194560 1 20 3 4 50 6 7 8 20 0 1 0 12345 9 10\n"

func TestParse(t *testing.T) {
	want := Stat{State: 'S', Parent: 1, Took: 560 * time.Millisecond, Ended: 150 * time.Millisecond, EndFaults: 20, Start: 12345}
	for _, name := range []string{"linux", "a b", "a) b", ") S 1 2 3", "((", "\n"} {
		if got, err := Parse("7 (" + name + ")" + rest); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", name, got, err)
		}
	}
	text := "7 (x)" + rest
	for _, bad := range []string{"", "7 (x) S 1 2 3", text[:20], strings.Replace(text, "12345", "x", 1), strings.Replace(text, " 50 ", " x ", 1)} {
		if got, err := Parse(bad); err == nil || got != (Stat{}) {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
}

// A zombie lives no more; what has its number and began at another time never did.
func TestLives(t *testing.T) {
	self, err := Self()
	if err != nil || self.PID != os.Getpid() || !self.Lives() {
		t.Errorf("%+v, %v", self, err)
	}
	if (ID{self.PID, self.Start - 1}).Lives() {
		t.Error("another with this one's number lives")
	}
	child := exec.CommandContext(t.Context(), "cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	s, err := Look(child.Process.Pid)
	id := ID{child.Process.Pid, s.Start}
	if err != nil || s.Parent != os.Getpid() || !id.Lives() {
		t.Errorf("%+v, %v", s, err)
	}
	in.Close()
	unix.Waitid(unix.P_PID, id.PID, nil, unix.WEXITED|unix.WNOWAIT, nil)
	if s, err := Look(id.PID); err != nil || s.State != 'Z' || id.Lives() {
		t.Errorf("of a zombie: %+v, %v", s, err)
	}
	child.Wait()
	if _, err := Look(id.PID); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		t.Errorf("of one that is gone: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7 (a) b)" + rest)
	f.Fuzz(func(t *testing.T, text string) { Parse(text) })
}
