package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uml/test/lab"
)

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	before := l.State()
	first, second := m.Run("uml-run", "--dry-run"), m.Run("uml-run", "--dry-run")
	if first.Code != 0 || first.Err != "" || !strings.Contains(first.Out, "umid=guest") {
		t.Errorf("exit %d, %q, printed\n%s", first.Code, first.Err, first.Out)
	}
	if first != second {
		t.Errorf("the same inputs gave\n%s\nand\n%s", first.Out, second.Out)
	}
	same(t, before, l.State())
}

// The machine directory may be reached in any way, and lie anywhere.
func TestPaths(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	root := filepath.Join(l.Dir, "a b", "machines")
	m := l.MachineIn(root, "guest", lab.Settings{"ip4": address})
	if err := os.Symlink(m.Dir, filepath.Join(l.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"./guest", "../machines/guest", "../../link/", m.Dir} {
		if r := l.RunIn(root, "uml-run", "--dry-run", name); r.Code != 0 || !strings.Contains(r.Out, "umid=guest") {
			t.Errorf("%s: exit %d, %s", name, r.Code, r.Err)
		}
	}
	m.Activate() // through a symbolic link, as supervise has it
	m.WaitUp(0)
}

func TestJailOfRoot(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	if err := os.Chown(m.Jail, 0, 0); err != nil {
		t.Fatal(err)
	}
	m.Activate()
	m.WaitUp(0)
}

// Paper 3.4: while machines-nostart is there nothing starts, and svc -d is
// obeyed at once.
func TestNoStart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	nostart := l.Machines + "-nostart"
	if err := os.WriteFile(nostart, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	before := l.State()
	m.Activate()
	m.WaitLog("machines-nostart")
	m.Svc("-d")
	m.WaitDown()
	same(t, before, l.State())
	m.Svc("-u")
	if err := os.Remove(nostart); err != nil {
		t.Fatal(err)
	}
	m.WaitUp(0)
}

// A failed start waits before it ends, so that supervise does not spin; svc -d
// ends that wait.
func TestRetryDelay(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("retry-delay", "3600")
	m := guest(l)
	m.Set("user", "nobody-here")
	m.Activate()
	m.WaitLog("nobody-here")
	time.Sleep(3 * time.Second) // supervise would start it each second
	if s, said := m.Svstat(), strings.Count(m.Log(), "fatal: "); !strings.HasPrefix(s, "up") || said != 1 {
		t.Errorf("after the failure, said %d times: %s", said, s)
	}
	m.Svc("-d")
	m.WaitDown()
}
