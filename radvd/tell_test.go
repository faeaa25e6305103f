package radvd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A daemon is a real radvd that runs.
type daemon struct {
	t     testing.TB
	cmd   *exec.Cmd
	ended chan error
	log   string
}

func (h *host) start(args ...string) *daemon {
	h.t.Helper()
	d := &daemon{t: h.t, ended: make(chan error, 1), log: filepath.Join(h.t.TempDir(), "log")}
	d.cmd = exec.Command(program(), append([]string{"-n", "-m", "logfile", "-l", d.log, "-d", "1", "-p", pidFiles[0]}, args...)...)
	d.cmd.Dir = filepath.Dir(h.conf)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	h.t.Cleanup(func() { d.cmd.Process.Kill(); os.Remove(pidFiles[0]) })
	d.wait("its pid file", func() bool { pid, _ := readPID(pidFiles[0]); return pid > 0 && d.said("syntax ok") == 1 })
	// It says both before it catches the signal, which would end it.
	d.wait("handler of SIGHUP", func() bool {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
		_, caught, _ := strings.Cut(string(status), "SigCgt:\t")
		mask, err := strconv.ParseUint(strings.SplitN(caught, "\n", 2)[0], 16, 64)
		return err == nil && mask&(1<<(unix.SIGHUP-1)) != 0
	})
	return d
}

func (d *daemon) said(text string) int {
	log, _ := os.ReadFile(d.log)
	return strings.Count(string(log), text)
}

func (d *daemon) wait(what string, ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(d.log)
			d.t.Fatalf("radvd: no %s:\n%s", what, log)
		}
	}
}

// read waits until radvd has read the file n times.
func (d *daemon) read(n int) {
	d.t.Helper()
	d.wait("reading", func() bool { return d.said("resuming normal operation") >= n })
	if got := d.said("attempting to reread"); got != n {
		d.t.Errorf("it was told %d times, want %d", got, n)
	}
}

// radvd is told of a change, once, and ends when nothing is left for it.
func TestTold(t *testing.T) {
	h := newHost(t)
	h.machine("a", one)
	h.write(false)
	d := h.start("-C", h.conf)
	h.write(true)
	h.machine("a", two)
	h.write(true)
	d.read(1)
	h.write(true)
	h.write(true)
	h.machine("b", one)
	h.write(true)
	d.read(2)

	// A run that was killed after the change and before it was told.
	f, err := find(h.conf)
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	owe := func() {
		t.Helper()
		if err := l.owe(); err != nil {
			t.Fatal(err)
		}
	}
	owe()
	l.Close()
	h.write(true)
	d.read(3)
	h.write(true)

	// An administrator who edits tells radvd himself. Nor would a bad file end it.
	good := h.text()
	h.put("etc/radvd.conf", "# mine\n"+good)
	h.write(true)
	if l, err = f.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	owe()
	l.Close()
	h.put("etc/radvd.conf", "interface eth1 {\n"+good)
	if _, _, err := h.run(false); fault.Code(err) != fault.MustMend {
		t.Errorf("a bad file: %v", err)
	}
	h.put("etc/radvd.conf", "# mine\n"+good)
	h.write(true)
	d.read(4)
	h.remove("machines/a")
	h.remove("machines/b")
	h.write(true)
	d.read(5)
	h.age()
	h.write(true)
	if err := <-d.ended; err != nil || d.said("sending stop adverts") != 1 {
		t.Errorf("radvd ended with %v", err)
	}
	if got := h.text(); got != "# mine\n" {
		t.Errorf("left: %q", got)
	}
	h.write(true)
}

// Neither a radvd that reads another file nor what is none gets a signal.
func TestNotTold(t *testing.T) {
	h := newHost(t)
	h.machine("a", one)
	h.write(false)
	conf := filepath.Join(h.dir, "other.conf")
	if err := os.WriteFile(conf, []byte(h.text()), 0o644); err != nil {
		t.Fatal(err)
	}
	d := h.start("--config=" + conf)
	const warning = "warning: DIR/etc/radvd.conf: written, but no radvd that reads it is running (try: systemctl start radvd)\n"
	changed := func(prefix string) {
		t.Helper()
		h.machine("a", prefix)
		if _, said, err := h.run(false); said != warning || err != nil {
			t.Errorf("got %q, %v", said, err)
		}
		h.write(true)
	}
	changed(two)
	if n := d.said("attempting to reread"); n != 0 {
		t.Errorf("it was told %d times", n)
	}
	d.cmd.Process.Kill()
	<-d.ended
	changed(one) // its pid file was left

	// Another process has its number now.
	other := exec.Command("sh", "-c", "read line", "sh", "-C", h.conf)
	if _, err := other.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pidFiles[0], []byte(strconv.Itoa(other.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	changed(two)
	other.Process.Signal(unix.SIGUSR1)
	other.Wait()
	if s := other.ProcessState.Sys().(syscall.WaitStatus).Signal(); s != unix.SIGUSR1 {
		t.Errorf("another process was ended by %v", s)
	}
	if err := os.Remove(pidFiles[0]); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pidFiles[0], 0o644); err != nil {
		t.Fatal(err)
	}
	changed(one)
}

// A name that is not absolute is one below where radvd stands, and whoever calls
// himself radvd may stand anywhere.
func TestRelative(t *testing.T) {
	h := newHost(t)
	h.machine("a", one)
	h.write(false)
	d := h.start("-C", "./radvd.conf")
	h.machine("a", two)
	h.write(true)
	d.read(1)
	d.cmd.Process.Kill()
	<-d.ended

	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := "/run/anyone" // of this test's own /run, where that user reaches it
	t.Cleanup(func() { os.RemoveAll(dir) })
	own := dir + "/radvd"
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(own, shell, 0o755)); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"x", "radvd.conf", "", ".", "../x/y", "/" + strings.Repeat("long/", 1000), "/proc/self/fd/0/x"} {
		cmd := exec.Command(own, "-c", "read line", "sh", "-C", name)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: unix.SIGKILL}
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pidFiles[0], []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
			t.Fatal(err)
		}
		h.machine("a", []string{one, two}[i%2])
		if _, said, err := h.run(false); !strings.Contains(said, "no radvd that reads it is running") || err != nil {
			t.Errorf("%.20q: got %q, %v", name, said, err)
		}
		in.Close()
		if err := cmd.Wait(); err != nil && !cmd.ProcessState.Exited() {
			t.Errorf("%.20q: it was ended: %v", name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for args, want := range map[string]string{
		"radvd":                          "/etc/radvd.conf",
		"radvd -n -C /a -p /b":           "/a",
		"radvd -C/a":                     "/a",
		"radvd --config /a":              "/a",
		"radvd --config=/a -u radvd":     "/a",
		"radvd --configtest -p /c":       "/etc/radvd.conf",
		"/usr/sbin/radvd -m stderr -C":   "/etc/radvd.conf",
		"radvd --logmethod stderr_clean": "/etc/radvd.conf",
	} {
		if got := config(strings.Fields(args)); got != want {
			t.Errorf("%s: got %s, want %s", args, got, want)
		}
	}
}
