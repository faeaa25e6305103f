package lock

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Of an account that has used up its allowance what is open counts as locked; root's is
// read as before, and so is another account's.
func TestAllowance(t *testing.T) {
	const account = 65534
	f, err := os.Create(filepath.Join(t.TempDir(), "disc"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	process := func(uid uint32) int {
		p := exec.Command("sleep", "1000")
		p.ExtraFiles = []*os.File{f}
		p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Process.Kill(); p.Wait() })
		return p.Process.Pid
	}
	fresh := func() *allowance { return new(allowance) }
	used := func() *allowance {
		a := &allowance{all: allowed}
		r := reader{a, 0, account}
		r.spent(allowed)
		return a
	}
	theirs, roots := process(account), process(0)
	for _, test := range []struct {
		name string
		pid  int
		a    func() *allowance
		held bool
	}{
		{"fresh", theirs, fresh, false},
		{"used up", theirs, used, true},
		{"used up, root's", roots, used, false},
		{"used up, another's", process(account - 1), used, false},
	} {
		h, found, err := holds(test.pid, &st, test.a())
		if found != test.held || err != nil || found && (h.PID != test.pid || h.Taker != test.pid) {
			t.Errorf("%s: holds: got %v, %+v, %v", test.name, found, h, err)
		}
		c := Census{}
		err = c.add(test.pid, test.a())
		if got := len(c[file{st.Dev, st.Ino}]); (got == 1) != test.held || err != nil {
			t.Errorf("%s: the census has %d of it, %v", test.name, got, err)
		}
	}
}
