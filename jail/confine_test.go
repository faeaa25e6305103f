package jail

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ask runs testdata/ask in the jail, with what lies outside to be reached from it.
func ask(t *testing.T, seccomp string) (string, error) {
	t.Helper()
	dir := machine(t)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "ask"), "./testdata/ask")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	victim := exec.Command("sleep", "3600")
	victim.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: guest, Gid: guest + 1}}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { victim.Process.Kill(); victim.Wait() })
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	name := fmt.Sprintf("uml-jail-test-%d", victim.Process.Pid)
	abstract, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	cmd := command(dir, fmt.Sprint(victim.Process.Pid), port, name)
	cmd.Env = append(cmd.Env, setSeccomp+"="+seccomp)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What a guest kernel has no use for is refused, with the filter and, as far as
// files, TCP, signals and abstract sockets go, by Landlock alone.
func TestRefused(t *testing.T) {
	for seccomp, want := range map[string]string{
		"on": `io_uring_setup: EPERM
perf_event_open: EPERM
userfaultfd: EPERM
bpf: EPERM
keyctl: EPERM
add_key: EPERM
unshare: EPERM
mount: EPERM
process_vm_readv: EPERM
chmod: EPERM
TIOCSTI: EPERM
TUNSETOWNER: EPERM
clone a namespace: EPERM
clone3: ENOSYS
kill outside: EPERM
ptrace outside: EPERM
abstract socket: EPERM
TCP connect: EPERM
TCP bind: EPERM
execute in /tmp: EACCES
make a link in /tmp: EPERM
`,
		"off": `kill outside: EPERM
ptrace outside: EPERM
abstract socket: EPERM
TCP connect: EACCES
TCP bind: EACCES
execute in /tmp: EACCES
make a link in /tmp: EACCES
`,
	} {
		got, err := ask(t, seccomp)
		if seccomp == "off" {
			if i := strings.Index(got, "kill outside"); i > 0 {
				got = got[i:]
			}
		}
		if err != nil || got != want {
			t.Errorf("seccomp %s: %v, got\n%swant\n%s", seccomp, err, got, want)
		}
	}
}

func TestKilled(t *testing.T) {
	out, err := ask(t, "kill")
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGSYS || out != "" {
		t.Errorf("got %v, %q; want SIGSYS at the first call", err, out)
	}
}

// What the filter does not let through must not keep a failed exec from being said.
func TestExecFails(t *testing.T) {
	for _, seccomp := range []string{"on", "kill"} {
		dir := machine(t)
		if err := os.WriteFile(filepath.Join(dir, "ask"), []byte("neither a program nor a script"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := command(dir)
		cmd.Env = append(cmd.Env, setSeccomp+"="+seccomp)
		out, err := cmd.CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 111 || string(out) != "exec /ask in the jail: exec format error\n" {
			t.Errorf("seccomp %s: got %v: %q", seccomp, err, out)
		}
	}
}

// The room's names and System V objects are its own.
func TestNamespaces(t *testing.T) {
	pid := status(t, machine(t), nil)
	for _, ns := range []string{"mnt", "ipc", "uts"} {
		own, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if jail, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns)); err != nil || jail == own {
			t.Errorf("%s: got %s, %v", ns, jail, err)
		}
	}
}
