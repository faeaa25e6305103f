// Package lab makes a host for guests, and another host beside it, out of
// namespaces: real parts all of them, and none of the machine's own. Inside are a
// network with a router, accounts, a machines root and the host's settings.
//
//	ext0 192.0.2.10/24 ---- wan0 192.0.2.1/24
//	2001:db8:ffff::10/64    2001:db8:ffff::1/64
//	the host                the other host, and its router
//
// The first process of a lab's process namespace hangs on a pipe from the
// program that made the lab. However that program ends, the pipe closes, that
// process ends, and the kernel ends every other and drops the namespaces. All
// that can be left is a directory below os.TempDir(), which the next lab sweeps.
//
// Labs need root. They do not keep a hostile guest in: tests do not run any.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TB is what a lab needs of a *testing.T. A program has Main.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Patience is how long a lab waits for what must happen: long, since a wait ends
// when it happens, and a slow machine is no fault.
const Patience = 2 * time.Minute

// Templates is where a lab has them. A guest's backing file has its path in the jail too,
// and the jail's /tmp, below which a lab lies, is its own.
const Templates = "/run/templates"

// Addresses of the two hosts.
const (
	HostIP4  = "192.0.2.10"
	OtherIP4 = "192.0.2.1"
	HostIP6  = "2001:db8:ffff::10"
	OtherIP6 = "2001:db8:ffff::1"
)

// A Lab is a host and its neighbour. Paths are the same inside and outside.
type Lab struct {
	Dir          string // everything of this lab
	Bin          string // the suite's binaries
	Machines     string // machines root
	HostSettings string
	Service      string // what svscan would scan
	PID          int    // first process of the host, as seen from outside

	t     TB
	uid   int // of the next account
	init  *exec.Cmd
	pipe  *os.File
	lock  *os.File
	guest sync.Mutex // the tree that images are made from
}

// New makes a lab that ends with the test.
func New(t TB) *Lab {
	t.Helper()
	l, err := newLab(t)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return l
}

func newLab(t TB) (*Lab, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	number, dir, lock, err := claim()
	if err != nil {
		return nil, err
	}
	l := &Lab{
		Dir: dir, Bin: bin, t: t, lock: lock, uid: firstUID + number*uidsPerLab,
		Machines:     filepath.Join(dir, "machines"),
		HostSettings: filepath.Join(dir, "host-settings"),
		Service:      filepath.Join(dir, "service"),
	}
	if err := l.fill(); err != nil {
		return nil, err
	}
	if err := l.boot(); err != nil {
		return nil, err
	}
	t.Cleanup(l.Close)
	return l, l.network()
}

// fill makes what the lab's directory holds from the start. Nothing waits, so
// that a test takes no longer than its guest.
func (l *Lab) fill() error {
	for _, d := range []string{l.Machines, l.HostSettings, l.Service, filepath.Join(l.Dir, "etc"), filepath.Join(l.Dir, "templates")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	for _, f := range accountFiles {
		text, err := os.ReadFile("/etc/" + f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(l.Dir, "etc", f), text, 0o644); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"min-uptime": "0", "stagger": "0", "pace": "0", "ping-timeout": "300", "retry-delay": "0"} {
		l.SetHost(name, value)
	}
	return nil
}

// boot starts the lab's first process and waits until its mounts are made.
func (l *Lab) boot() error {
	alive, life, err := os.Pipe()
	if err != nil {
		return err
	}
	defer alive.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{initName, l.Dir}
	cmd.Stdin = alive
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{l.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		life.Close()
		return fmt.Errorf("start the host (as root?): %w", err)
	}
	l.PID, l.init, l.pipe = cmd.Process.Pid, cmd, life
	if line, err := io.ReadAll(ready); err != nil || string(line) != "ready\n" {
		life.Close()
		return errors.Join(errors.New("the host did not come up"), cmd.Wait())
	}
	return nil
}

func (l *Lab) network() error {
	script := `set -e
ip netns add other
ip link add ext0 type veth peer name wan0 netns other
ip -batch - <<-.
	link set lo up
	link set ext0 addrgenmode none up
	addr add ` + HostIP4 + `/24 dev ext0
	addr add ` + HostIP6 + `/64 dev ext0 nodad
	route add default via ` + OtherIP4 + `
.
ip -n other -batch - <<-.
	link set lo up
	link set wan0 addrgenmode none up
	addr add ` + OtherIP4 + `/24 dev wan0
	addr add ` + OtherIP6 + `/64 dev wan0 nodad
	.
ip route add default via ` + OtherIP6
	r := l.Run("sh", "-c", strings.ReplaceAll(script, "\n\t", "\n"))
	if r.Code != 0 {
		return fmt.Errorf("the network: %s", r.Err)
	}
	// The kernel tells of a link's state a while after, on a busy machine: who compares two
	// states of the host would find it changed.
	state := filepath.Join("/proc", strconv.Itoa(l.PID), "root/sys/class/net/ext0/operstate")
	l.Wait("ext0 to be up", func() bool {
		text, _ := os.ReadFile(state)
		return string(text) == "up\n"
	})
	return nil
}

// Close ends every process of the lab and removes its directory.
func (l *Lab) Close() {
	if l.pipe == nil {
		return
	}
	l.pipe.Close()
	l.pipe = nil
	l.init.Wait()
	if err := os.RemoveAll(l.Dir); err != nil {
		l.t.Logf("lab: %v", err)
	}
	l.lock.Close()
}

// Keep lets the lab outlive this program: until its first process is killed.
func (l *Lab) Keep() {
	fmt.Fprint(l.pipe, keep)
	l.pipe.Close()
	l.pipe = nil
}

// SetHost sets one of the host's settings.
func (l *Lab) SetHost(name, value string) {
	l.write(filepath.Join(l.HostSettings, name), value)
}

func (l *Lab) write(file, value string) {
	l.t.Helper()
	if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
}

// A Result is how a command ended and what it said.
type Result struct {
	Out, Err string
	Code     int // 128 and the signal if one ended it
}

// Enter is the command that runs what is added to it on the host, in dir.
func (l *Lab) Enter(dir string) []string {
	return []string{"nsenter", "-t", strconv.Itoa(l.PID), "-m", "-p", "-n", "-i", "-u", "--wdns=" + dir, "--"}
}

// daemon prepares a command on the host that lives as long as the lab.
func (l *Lab) daemon(dir string, args ...string) *exec.Cmd {
	return l.Cmd(context.Background(), dir, args...)
}

// Cmd prepares a command on the host. All that it starts is ended with ctx.
func (l *Lab) Cmd(ctx context.Context, dir string, args ...string) *exec.Cmd {
	args = append(l.Enter(dir), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(),
		"UML_MACHINES="+l.Machines, "UML_HOST_SETTINGS="+l.HostSettings, "UML_SERVICE="+l.Service,
		"UML_TEMPLATES="+Templates, "UML_KERNELS="+filepath.Join(l.Dir, "kernels"),
		"PATH="+l.Bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	// A guest kernel leaves the process group and keeps the output. What has not come when
	// this is over is lost, and a busy machine needs a second now and then.
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Run runs a command on the host.
func (l *Lab) Run(args ...string) Result {
	l.t.Helper()
	return l.RunIn(l.Dir, args...)
}

// Online runs a command on the host, in the network of whoever made the lab: it fetches
// from a mirror what no lab can give.
func (l *Lab) Online(args ...string) Result {
	l.t.Helper()
	cmd := l.Cmd(l.t.Context(), l.Dir, args...)
	network := slices.Index(cmd.Args, "-n") // nsenter's
	cmd.Args = slices.Delete(cmd.Args, network, network+1)
	return l.finish(cmd)
}

// RunIn runs a command on the host with dir as its working directory. One that
// should have been refused may become a guest: it is ended when that is certain.
func (l *Lab) RunIn(dir string, args ...string) Result {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*Patience)
	defer cancel()
	return l.finish(l.Cmd(ctx, dir, args...))
}

// Must is the output of a command on the host that has to succeed.
func (l *Lab) Must(args ...string) string {
	l.t.Helper()
	return l.must(args, l.Run(args...))
}

// Other runs a command on the other host.
func (l *Lab) Other(args ...string) Result {
	l.t.Helper()
	return l.Run(append([]string{"ip", "netns", "exec", "other"}, args...)...)
}

// MustOther is the output of a command on the other host that has to succeed.
func (l *Lab) MustOther(args ...string) string {
	l.t.Helper()
	return l.must(args, l.Other(args...))
}

func (l *Lab) must(args []string, r Result) string {
	l.t.Helper()
	if r.Code != 0 {
		l.t.Fatalf("%s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Out, r.Err)
	}
	return r.Out
}

func (l *Lab) finish(cmd *exec.Cmd) Result {
	l.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		l.t.Fatalf("lab: %v", err)
	}
	return Result{out.String(), errs.String(), code(cmd.ProcessState)}
}

func code(s *os.ProcessState) int {
	if w := s.Sys().(syscall.WaitStatus); w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// Wait asks again and again until ok says yes; what names it in the failure.
func (l *Lab) Wait(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	l.t.Fatalf("waited %v for %s\n%s", Patience, what, l.logs())
}

// logs are the ends of all machines' logs, for a failure's message.
func (l *Lab) logs() string {
	var all strings.Builder
	names, _ := filepath.Glob(filepath.Join(l.Dir, "*.log"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		fmt.Fprintf(&all, "%s:\n%s\n", filepath.Base(name), text[max(0, len(text)-2000):])
	}
	return all.String()
}

// WaitPing waits until address answers the other host.
func (l *Lab) WaitPing(address string) {
	l.t.Helper()
	l.Wait("an answer from "+address, func() bool { return l.Ping(address) })
}

// Ping says whether address answers the other host within a second.
func (l *Lab) Ping(address string) bool {
	l.t.Helper()
	return l.Other("ping", "-n", "-q", "-c1", "-W1", address).Code == 0
}
