package lock

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// holdAs has a process of another user hold a flock on the file, which it could
// open for reading, and returns its pid.
func holdAs(t *testing.T, file string, uid int, how string) int {
	t.Helper()
	cmd := exec.Command("setpriv", fmt.Sprintf("--reuid=%d", uid), "--clear-groups",
		"sh", "-c", `exec 4<"$1"; flock $2 4 && echo && exec sleep 100`, "sh", file, how)
	ready(t, cmd)
	return cmd.Process.Pid
}

// A user who can only read a backing file can lock it all the same. That keeps
// nobody down who only reads it as well, where nobody but root can write it.
func TestTakeDiscLockedByReader(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    os.FileMode
		owner   int
		locker  int
		shared  bool
		refused bool
	}{
		{"root's alone to write", 0o644, 0, guest, true, false},
		{"by root", 0o644, 0, 0, true, true}, // who may be changing it
		{"to be written", 0o644, 0, guest, false, true},
		{"the user's", 0o644, guest, guest, true, true},
		{"a group's to write", 0o664, 0, guest, true, true},
		{"everybody's to write", 0o646, 0, guest, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := visible(t)
			f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := errors.Join(f.Chmod(c.mode), f.Chown(c.owner, 0)); err != nil {
				t.Fatal(err)
			}
			pid := holdAs(t, file, c.locker, "-x")
			if err := TakeDisc(f, c.shared); c.refused {
				wantHeld(t, err, pid)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// visible is the name of a file that is not there yet, which other users reach.
func visible(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + "/disc"
}

// A process that ends shows its descriptors no more, and has its locks a while yet.
// This very process stands for it, since Find leaves it out.
func TestTakeWaitsForOneThatEnds(t *testing.T) {
	for name, take := range map[string]func(f *os.File) error{
		"machine": func(f *os.File) error { return Take(f, guest, silent(t)) },
		"disc":    func(f *os.File) error { return TakeDisc(f, false) },
	} {
		t.Run(name, func(t *testing.T) {
			_, f := openLock(t)
			ending, err := os.Open(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Flock(int(ending.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(patience/10, func() { ending.Close() })
			if err := take(f); err != nil {
				t.Error(err)
			}
		})
	}
}

// On a busy host that is long, and no other host's lock.
func TestTakeOutwaitsABusyHost(t *testing.T) {
	_, f := openLock(t)
	last, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(last.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(4*patience, func() { last.Close() })
		if err := Take(f, guest, silent(t)); err != nil {
			t.Error(err)
		}
	})
}

// One holder that is no stray, and none is signalled.
func TestTakeSparesAll(t *testing.T) {
	_, f := openLock(t)
	flock, stray := hold(t, f.Name(), guest)
	other := inherit(t, stray, f.Name(), guest+1)
	kill(t, flock)
	wantHeld(t, Take(f, guest, silent(t)), other)
	for _, pid := range []int{stray, other} {
		if err := unix.Kill(pid, 0); err != nil {
			t.Errorf("process %d was signalled: %v", pid, err)
		}
	}
}

// inherit starts a process of user uid with the descriptor of the file that another
// process has.
func inherit(t *testing.T, from int, file string, uid int) int {
	t.Helper()
	pidfd, err := unix.PidfdOpen(from, 0)
	if err != nil {
		t.Fatal("pidfd_open:", err)
	}
	defer unix.Close(pidfd)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", from))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		n, _ := strconv.Atoi(fd.Name())
		if name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", from, n)); name != file {
			continue
		}
		theirs, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			t.Fatal("pidfd_getfd:", err)
		}
		lock := os.NewFile(uintptr(theirs), file)
		defer lock.Close()
		cmd := exec.Command("sleep", "100")
		cmd.ExtraFiles = []*os.File{lock}
		cmd.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid)}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd.Process.Pid
	}
	t.Fatalf("process %d does not have %s", from, file)
	return 0
}

func TestNamed(t *testing.T) {
	_, f := openLock(t)
	if err := Named(f); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	if err := Named(f); err == nil {
		t.Error("it has no name, and nothing is said")
	}
}
