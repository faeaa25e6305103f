package jail

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/handle"
	"uml/settings"
)

// The jail is entered for real, by this test program run again: busybox takes
// its place and tells what it finds, and /proc tells what the host sees of it.

const (
	guest   = 61002
	busybox = "/bin/busybox"
	again   = "JAIL_TEST_DIR"

	setSeccomp = "JAIL_TEST_SECCOMP"
)

func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if dir := os.Getenv(again); dir != "" {
		fmt.Fprintln(os.Stderr, enter(dir, os.Args[1:]))
		os.Exit(111)
	}
	os.Exit(m.Run())
}

func enter(name string, args []string) error {
	dir, err := handle.OpenDir(name)
	if err != nil {
		return err
	}
	j := &Jail{
		Account: settings.Account{Name: "guest", UID: guest, GID: guest + 1},
		Memory:  8 << 20, NoFile: 200, NProc: 100, Nice: 5,
		Tun: true, Umid: "guest", Env: []string{"TMPDIR=/tmp"},
	}
	b, err := handle.Open(busybox)
	if err != nil {
		return err
	}
	disc, err := dir.Open("jail/ubd0")
	if err != nil {
		return err
	}
	backing, err := dir.Open("jail/backing")
	if err != nil {
		return err
	}
	uml, err := dir.Dir("jail/uml")
	if err != nil {
		return err
	}
	lock, err := os.Open(dir.Join("lock"))
	if err != nil {
		return err
	}
	j.Keep = []uint{uint(lock.Fd())}
	if err := errors.Join(j.Bring(b, "/bin/busybox", Execute), j.Bring(disc, "/ubd0", ReadWrite),
		j.Bring(backing, "/srv/backing", ReadOnly), j.BringDir(uml, "/uml", ReadWrite)); err != nil {
		return err
	}
	for j.Seccomp.String() != cmp.Or(os.Getenv(setSeccomp), "on") {
		j.Seccomp++
	}
	own, ownErr := handle.Open(dir.Join("ask"))
	if ownErr == nil {
		if err := j.Bring(own, "/ask", Execute); err != nil {
			return err
		}
	}
	if err := j.Enter(); err != nil {
		return err
	}
	if ownErr == nil {
		return j.Exec("/ask", append([]string{"ask"}, args...), func() error { return nil })
	}
	return j.Exec("/bin/busybox", append([]string{"busybox"}, args...), func() error { return nil })
}

func machine(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "m")
	for _, d := range []string{"jail/uml/guest", "jail/secret"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"lock", "jail/ubd0", "jail/backing", "jail/secret/key", "jail/uml/guest/pid", "jail/uml/guest/mconsole"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(f+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", guest, guest+1), filepath.Join(dir, "jail")).CombinedOutput()
	if err != nil {
		t.Fatalf("%s", out)
	}
	return dir
}

func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{again + "=" + dir, "SECRET=1", "PATH=/bin"}
	return cmd
}

// inside runs a shell script in the jail, with busybox by its path in it.
func inside(t *testing.T, dir, script string) string {
	t.Helper()
	out, err := command(dir, "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestInside(t *testing.T) {
	const bb = "/bin/busybox "
	for _, c := range []struct{ name, script, want string }{
		{"user", bb + "id -u; " + bb + "id -g; " + bb + "id -G", "61002\n61003\n61003\n"},
		{"umask", "umask", "0077\n"},
		{"limits", "ulimit -n; ulimit -c", "200\n0\n"},
		{"files", bb + "find / -xdev | " + bb + "sort", "/\n/annex\n/bin\n/bin/busybox\n/dev\n/srv\n/srv/backing\n/tmp\n/ubd0\n/uml\n"},
		{"devices", bb + "find /dev | " + bb + "sort", "/dev\n/dev/net\n/dev/net/tun\n/dev/null\n/dev/ptmx\n/dev/pts\n/dev/pts/ptmx\n"},
		{"stale umid", bb + "ls -A /uml", ""},
		{"disc", "echo x >/ubd0 && " + bb + "cat /ubd0", "x\n"},
		{"null", "echo x >/dev/null; echo $?", "0\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := inside(t, machine(t), c.script); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestInsideRefused(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"write the root", "echo x >/new", "Read-only file system"},
		{"write /dev", "echo x >/dev/new", "Read-only file system"},
		{"write a backing file", "echo x >/srv/backing", "Read-only file system"},
		{"replace the kernel", "echo x >/bin/busybox", "Read-only file system"},
		{"execute in tmp", "/bin/busybox cp /bin/busybox /tmp/b; /tmp/b echo x", "Permission denied"},
		{"execute below uml", "/bin/busybox cp /bin/busybox /uml/b; /uml/b echo x", "Permission denied"},
		{"more than the memory", "while /bin/busybox cat /bin/busybox; do :; done >/tmp/f; exit 1", "File too large|No space left"},
		{"make a device", "/bin/busybox mknod /uml/sda b 8 0", "Operation not permitted"},
		{"mount", "/bin/busybox mount -t tmpfs x /tmp", "must be superuser|permission denied|not permitted"},
		{"user namespace", "/bin/busybox unshare -U /bin/busybox true", "Operation not permitted"},
		{"become root", "/bin/busybox su -c id", "must be suid|incorrect|not permitted|unknown"},
		{"leave by ..", "/bin/busybox ls /../../../etc", "No such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := command(machine(t), "sh", "-c", c.script).CombinedOutput()
			if err == nil || !regexp.MustCompile(c.want).Match(out) {
				t.Errorf("got %v: %q, want %q", err, out, c.want)
			}
		})
	}
}

// status starts a process that waits in the jail and reads its /proc files.
func status(t *testing.T, dir string, prepare func(*exec.Cmd)) (pid int) {
	t.Helper()
	cmd := command(dir, "cat")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := in.Write([]byte("ready\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestPrivileges(t *testing.T) {
	pid := status(t, machine(t), nil)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t61002\t61002\t61002\t61002", "Gid:\t61003\t61003\t61003\t61003", "Groups:\t \n",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
		"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "Threads:\t1",
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || string(environ) != "TMPDIR=/tmp\x00" {
		t.Errorf("got environment %q, %v, want TMPDIR alone", environ, err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil || !regexp.MustCompile(`Max processes +100 +100 `).Match(limits) {
		t.Errorf("got limits %s, %v, want 100 processes", limits, err)
	}
	if !regexp.MustCompile(`Max core file size +1 +1 `).Match(limits) {
		t.Errorf("got limits %s, want a core of 1 byte", limits)
	}
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid); err != nil || nice != 20-5 { // the raw call's 20-nice
		t.Errorf("got 20-nice %d, %v, want 15", nice, err)
	}
	persona, err := os.ReadFile(fmt.Sprintf("/proc/%d/personality", pid))
	if err != nil || string(persona) != "00040000\n" {
		t.Errorf("got personality %q, %v, want ADDR_NO_RANDOMIZE", persona, err)
	}
}

// What the caller left behind does not reach the guest: descriptors, ignored and
// blocked signals.
func TestNothingIsInherited(t *testing.T) {
	dir := machine(t)
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	pid := status(t, dir, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `trap "" HUP PIPE USR1 TSTP; exec "$0" "$@"`, "/proc/self/exe"}, cmd.Args[1:]...)
		self, _ := os.Executable()
		cmd.Args[3] = self
		cmd.Path = "/bin/sh"
		cmd.ExtraFiles = []*os.File{leak, leak, leak}
	})
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if !bytes.Contains(text, []byte("SigIgn:\t0000000000000000")) {
		t.Errorf("signals are ignored:\n%s", text)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if fd.Name() > "2" && to != filepath.Join(dir, "lock") {
			t.Errorf("descriptor %s is %s", fd.Name(), to)
		}
	}
}

// A shell's terminal is not the guest's: it could type there (TIOCSTI).
func TestTerminalIsLeft(t *testing.T) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The shell leads the session; what it starts shows itself, then waits.
	cmd := exec.Command("sh", "-c", `cat /proc/self/stat; "$0" cat; :`, self)
	cmd.Env = []string{again + "=" + machine(t), "PATH=/usr/bin:/bin"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(ptmx)
	if !lines.Scan() || terminalOf(t, lines.Text()) == "0" {
		t.Fatalf("the shell's own child has no terminal: %q", lines.Text())
	}
	if _, err := ptmx.Write([]byte("ready\n")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the echo, and cat in the jail
		if !lines.Scan() || strings.TrimSpace(lines.Text()) != "ready" {
			t.Fatalf("got %q", lines.Text())
		}
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(children)) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	if got := terminalOf(t, string(stat)); got != "0" {
		t.Errorf("the guest has the controlling terminal %s", got)
	}
}

// terminalOf is the field tty_nr of /proc/PID/stat.
func terminalOf(t *testing.T, stat string) string {
	t.Helper()
	_, rest, found := strings.Cut(stat, ") ")
	f := strings.Fields(rest)
	if !found || len(f) < 5 {
		t.Fatalf("no stat: %q", stat)
	}
	return f[4]
}

// The host sees no mount of the jail, and the jail no mount of the host.
func TestMountsAreApart(t *testing.T) {
	dir := machine(t)
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	pid := status(t, dir, nil)
	after, _ := os.ReadFile("/proc/self/mountinfo")
	if !bytes.Equal(before, after) {
		t.Errorf("the host's mounts changed:\n%s\n%s", before, after)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		points = append(points, f[4]+" "+f[5])
	}
	got := strings.Join(points, "\n")
	for _, want := range []string{
		"/ ro,nosuid,nodev,noexec", "/dev ro,nosuid,noexec", "/dev/pts rw,nosuid,noexec", "/tmp rw,nosuid,nodev", "/annex ro,nosuid,nodev,noexec",
		"/bin/busybox ro,nosuid,nodev", "/srv/backing ro,nosuid,nodev,noexec", "/ubd0 rw,nosuid,nodev,noexec", "/uml rw,nosuid,nodev,noexec",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if len(points) != 9 {
		t.Errorf("got %d mounts, want 9:\n%s", len(points), got)
	}
}

func TestStaleUmidIsJudged(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"link", func(d string) error {
			return errors.Join(os.RemoveAll(d), os.Symlink("/tmp", d))
		}, "is not the user's own directory"},
		{"file", func(d string) error {
			return errors.Join(os.RemoveAll(d), os.WriteFile(d, nil, 0o644))
		}, "is not the user's own directory"},
		{"something else", func(d string) error { return os.WriteFile(d+"/notes", nil, 0o644) }, "is nothing that a kernel leaves"},
		{"a directory", func(d string) error {
			return errors.Join(os.Remove(d+"/pid"), os.Mkdir(d+"/pid", 0o755))
		}, "remove jail/uml/guest/pid"},
		{"many", func(d string) (err error) {
			for i := range 2000 {
				err = errors.Join(err, os.WriteFile(fmt.Sprintf("%s/%d", d, i), nil, 0o644))
			}
			return err
		}, "is nothing that a kernel leaves"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := machine(t)
			if err := c.make(filepath.Join(dir, "jail/uml/guest")); err != nil {
				t.Fatal(err)
			}
			out, err := command(dir, "true").CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) || strings.Count(string(out), "\n") != 1 {
				t.Errorf("got %v: %q, want %q", err, out, c.want)
			}
		})
	}
}

func TestBringRefusesATakenPlace(t *testing.T) {
	f, err := handle.Open(busybox)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := &Jail{}
	defer j.Close()
	if err := j.Bring(f, "/lib/x", Execute); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"/", "/dev/null", "/tmp", "/proc/x", "/lib/x", "/lib", "/lib/x/y", "/a/../lib/x"} {
		if err := j.Bring(f, at, Execute); err == nil {
			t.Errorf("%s: got no error", at)
		}
	}
}

// A caller's limit that is lower than the setting's is said, not passed over.
func TestLimitOverTheCallers(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	cmd := exec.Command("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "sh", "-c", `ulimit -n 150; exec "$0" true`)
	self, _ := os.Executable()
	cmd.Args = append(cmd.Args, self)
	cmd.Env = []string{again + "=" + machine(t), "PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nofile: 200 is over the limit") {
		t.Errorf("got %v: %q", err, out)
	}
}
