package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// The holders are real: flock(1) takes a lock and starts a program that inherits
// it, setpriv(1) makes that another user's, as a kernel and its strays are.

const guest = 61001

// ready starts a process that lives until the test's end, and waits for its first
// word.
func ready(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%q said nothing: %v", cmd.Args, err)
	}
}

func openLock(t *testing.T) (*handle.Dir, *os.File) {
	t.Helper()
	dir, err := handle.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); dir.Close() })
	return dir, f
}

// hold starts flock(1) on the file with a sleeping child of user uid, and
// returns both pids.
func hold(t *testing.T, file string, uid int) (flock, child int) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command("flock", "--exclusive", file,
		"setpriv", fmt.Sprintf("--reuid=%d", uid), "--clear-groups", "sh", "-c", "echo $$ >&3; exec sleep 100")
	pid, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer pid.Close()
	cmd.ExtraFiles = []*os.File{pid}
	// A kernel leads a session too. That keeps its number when it is dead, which a
	// lock in a process namespace (a container) would else forget.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if text, _ := os.ReadFile(out); len(text) > 0 {
			fmt.Sscan(string(text), &child)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if child == 0 {
		t.Fatal("the holder did not start")
	}
	t.Cleanup(func() { unix.Kill(child, unix.SIGKILL); cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid, child
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	unix.Wait4(pid, nil, 0, nil)
}

func wantHeld(t *testing.T, err error, pid int) {
	t.Helper()
	var held *Held
	if !errors.As(err, &held) || held.PID != pid {
		t.Fatalf("got %v, want held by %d", err, pid)
	}
	if fault.Code(err) != fault.MayPass {
		t.Errorf("got exit code %d, want %d", fault.Code(err), fault.MayPass)
	}
}

func silent(t *testing.T) func(string) {
	return func(s string) { t.Helper(); t.Errorf("said %q, want nothing", s) }
}

// Who inherits the lock can let it go, but not fill root's disc through it.
func TestLockIsNotWritten(t *testing.T) {
	_, f := openLock(t)
	if _, err := f.Write([]byte("x")); !errors.Is(err, unix.EBADF) {
		t.Errorf("write: got %v, want EBADF", err)
	}
	if err := unix.Ftruncate(int(f.Fd()), 1<<20); err == nil {
		t.Error("it was made larger")
	}
}

func TestTakeIsRefusedWhileAKernelLives(t *testing.T) {
	_, f := openLock(t)
	flock, _ := hold(t, f.Name(), guest)
	wantHeld(t, Take(f, guest, silent(t)), flock)
}

func TestTakeEndsStrays(t *testing.T) {
	_, f := openLock(t)
	flock, stray := hold(t, f.Name(), guest)
	kill(t, flock)
	said := ""
	if err := Take(f, guest, func(s string) { said += s }); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("ended stray process %d left by a killed guest kernel", stray); said != want {
		t.Errorf("said %q, want %q", said, want)
	}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", stray)); err == nil && !strings.Contains(string(status), "State:\tZ") {
		t.Errorf("the stray lives: %s", status)
	}
}

func TestTakeSparesOthers(t *testing.T) {
	_, f := openLock(t)
	flock, other := hold(t, f.Name(), guest+1)
	kill(t, flock)
	wantHeld(t, Take(f, guest, silent(t)), other)
	if err := unix.Kill(other, 0); err != nil {
		t.Errorf("another user's process was signalled: %v", err)
	}
}

// A kernel that let its lock go is still found, by where it runs and as whom.
func TestAlone(t *testing.T) {
	const user = guest + 7
	for _, c := range []struct {
		name   string
		args   []string
		jailed bool
	}{
		{"in our namespace", nil, false},
		{"in a jail", []string{"unshare", "--mount"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := Alone("m", user); err != nil {
				t.Fatal(err)
			}
			args := append(c.args, "setpriv", fmt.Sprintf("--reuid=%d", user), "--clear-groups", "sh", "-c", "echo; exec sleep 100")
			cmd := exec.Command(args[0], args[1:]...)
			ready(t, cmd)
			err := Alone("m", user)
			if want := fmt.Sprintf("m: is free, but process %d ", cmd.Process.Pid); c.jailed && (err == nil || !strings.HasPrefix(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
			if !c.jailed && err != nil {
				t.Error(err)
			}
		})
	}
}

// Nor can one hide that takes a new pid all the time, or whose first thread ends.
func TestAloneHidden(t *testing.T) {
	for i, c := range []struct {
		name string
		args []string
		want string
	}{
		{"new pids", []string{"sh", "-c", "setpriv --reuid=%d --clear-groups perl -e '$|=1; print 1; while (1) { exit if fork }' & exec 2>/dev/null; while :; do wait; sleep 1; done"}, "m: is free, but "},
		{"no first thread", []string{"env", withoutFirstThread + "=%d", "/proc/self/exe"}, "m: is free, but process "},
	} {
		t.Run(c.name, func(t *testing.T) {
			user := guest + 8 + i
			args := []string{"--mount", "--pid", "--fork", "--kill-child"}
			for _, a := range c.args {
				a = strings.Replace(a, "%d", strconv.Itoa(user), 1)
				args = append(args, strings.Replace(a, "/proc/self/exe", os.Args[0], 1))
			}
			cmd := exec.Command("unshare", args...)
			in, err := cmd.StdinPipe() // its end is the hidden thread's
			if err != nil {
				t.Fatal(err)
			}
			ready(t, cmd)
			defer in.Close()
			for range 8 { // what passes one look in three is found
				if err := Alone("m", user); err == nil || fault.Code(err) != fault.MayPass || !strings.HasPrefix(err.Error(), c.want) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
			}
		})
	}
}

const withoutFirstThread = "LOCK_TEST_WITHOUT_FIRST_THREAD" // and as which user

// init runs on the first thread, which ends here for who asks for that.
func init() {
	uid, err := strconv.Atoi(os.Getenv(withoutFirstThread))
	if err != nil {
		return
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		panic(err)
	}
	go func() {
		fmt.Println()
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	runtime.LockOSThread()
	unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}

func TestFindSeesOnlyThisFile(t *testing.T) {
	_, f := openLock(t)
	_, g := openLock(t)
	hold(t, g.Name(), guest)
	holders, err := Find(f)
	if err != nil || len(holders) != 0 {
		t.Errorf("got %v, %v, want none", holders, err)
	}
}

func TestTakeDisc(t *testing.T) {
	_, f := openLock(t)
	second, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := errors.Join(TakeDisc(f, true), TakeDisc(second, true)); err != nil {
		t.Fatalf("two readers: %v", err)
	}
	if err := TakeDisc(second, false); fault.Code(err) != fault.MayPass {
		t.Fatalf("a writer beside a reader: got %v", err)
	}
}

func TestTakeDiscNamesTheHolder(t *testing.T) {
	_, f := openLock(t)
	flock, child := hold(t, f.Name(), guest)
	var held *Held
	if err := TakeDisc(f, false); !errors.As(err, &held) || held.PID != flock && held.PID != child {
		t.Errorf("got %v, want held by %d or %d", err, flock, child)
	}
}

// A kernel that was started by hand has only its own lock, of fcntl(2).
func TestUnopened(t *testing.T) {
	_, f := openLock(t)
	if err := Unopened(f, false); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("perl", "-MFcntl", "-e", `open(F,"+<",$ARGV[0]) or die; $l=pack("s!s!l!l!i",F_WRLCK,0,0,0,0); fcntl(F,F_SETLK,$l) or die $!; $|=1; print "x"; sleep 100`, f.Name())
	ready(t, cmd)
	wantHeld(t, Unopened(f, false), cmd.Process.Pid)
	wantHeld(t, Unopened(f, true), cmd.Process.Pid)
}

// The user can hold a disc by a lock that names no process.
func TestUnopenedByNobody(t *testing.T) {
	_, f := openLock(t)
	g, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := unix.FcntlFlock(g.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	err = Unopened(f, false)
	if err == nil || !strings.Contains(err.Error(), "by a process that the lock does not name") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"link", func(p string) error { return os.Symlink("/etc/passwd", p) }, "is a symbolic link"},
		{"dangling link", func(p string) error { return os.Symlink(p+".new", p) }, "is a symbolic link"},
		{"fifo", func(p string) error { return unix.Mkfifo(p, 0o600) }, "is not a regular file"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "is not a regular file"},
		{"device", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }, "is not a regular file"},
		{"socket", func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }, "is not a regular file"},
		{"the user's", func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Chown(p, guest, guest))
		}, "is not root's alone"},
		{"two names", func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Link(p, p+"2"))
		}, "is not root's alone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := handle.OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			if err := c.make(dir.Join(Name)); err != nil {
				t.Fatal(err)
			}
			_, err = Open(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.Code(err) != fault.MustMend {
				t.Errorf("got %v (code %d), want %q (code %d)", err, fault.Code(err), c.want, fault.MustMend)
			}
		})
	}
}

func TestOpenMakesTheLockRootsAlone(t *testing.T) {
	dir, f := openLock(t)
	f.Chmod(0o666)
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if st, _ := f.Stat(); st.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, want 0600", st.Mode())
	}
}

func TestStillSeesAReplacedLock(t *testing.T) {
	dir, f := openLock(t)
	if err := Still(dir, f); err != nil {
		t.Fatal(err)
	}
	os.Remove(f.Name())
	if err := Still(dir, f); fault.Code(err) != fault.MayPass {
		t.Errorf("deleted: got %v", err)
	}
	os.WriteFile(f.Name(), nil, 0o600)
	if err := Still(dir, f); fault.Code(err) != fault.MayPass {
		t.Errorf("replaced: got %v", err)
	}
}

func TestFlockTaker(t *testing.T) {
	for _, c := range []struct {
		info  string
		pid   int
		inode uint64
		ok    bool
	}{
		{"pos:\t0\nlock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n", 359, 11691, true},
		{"lock:\t1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF\n", 0, 0, false},
		{"lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:x 0 EOF\n", 0, 0, false},
		{"lock:\t1: FLOCK  ADVISORY  WRITE -1 00:13:11691 0 EOF\n", -1, 11691, true},
		{"lock:\t1: FLOCK  ADVISORY  WRITE 0 00:13:11691 0 EOF\n", nobody, 11691, true},
		{"lock:\t1: FLOCK\n", 0, 0, false},
		{"", 0, 0, false},
	} {
		if pid, inode, ok := flockTaker([]byte(c.info)); pid != c.pid || inode != c.inode || ok != c.ok {
			t.Errorf("%q: got %d, %d, %v, want %d, %d, %v", c.info, pid, inode, ok, c.pid, c.inode, c.ok)
		}
	}
}

// A process may have any descriptors: what the kernel says of the others, and of
// other locks, does not hide the line.
func FuzzFlockTaker(f *testing.F) {
	const line = "lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n"
	f.Add([]byte(line))
	f.Add([]byte("pos:\t0\nflags:\t02100002\nmnt_id:\t25\nino:\t11691\nlock:\t1: POSIX  ADVISORY  WRITE 7 00:13:1 0 EOF\n"))
	f.Add([]byte("lock:\t1: LEASE  ACTIVE    WRITE 7 00:13:1 0 EOF\nlock:\t2: FLOCK  ADVISORY  READ  -1 00:13:1 0 EOF\n"))
	f.Add([]byte("inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:8\n"))
	f.Fuzz(func(t *testing.T, info []byte) {
		if pid, _, ok := flockTaker(info); ok {
			return
		} else if pid != 0 {
			t.Errorf("pid %d of no lock", pid)
		}
		all := bytes.Join([][]byte{info, []byte(line)}, []byte("\n"))
		if pid, inode, ok := flockTaker(all); pid != 359 || inode != 11691 || !ok {
			t.Errorf("%q hides a lock: got %d, %d, %v", info, pid, inode, ok)
		}
	})
}

// A process may call itself anything; the kernel escapes the ends of lines.
func FuzzUIDs(f *testing.F) {
	for _, name := range []string{"linux", "Uid:\t0\t0\t0\t0", "a b\r\x00", "", "\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		status := "Name:\t" + strings.ReplaceAll(name, "\n", `\n`) + "\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
		if got := handle.UIDs([]byte(status)); got != [4]int{1, 2, 3, 4} {
			t.Errorf("%q: got %v", name, got)
		}
		handle.UIDs([]byte(name))
	})
}
