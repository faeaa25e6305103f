package desk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/rights"
	"uml/seccomp"
)

// The test's own program is, with this in its environment, a service that is being
// confined, with a machines root there.
const confinedEnv = "UML_DESK_TEST_MACHINES"

func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	machines := os.Getenv(confinedEnv)
	switch {
	case machines == "":
		os.Exit(m.Run())
	case rights.Confined(""):
		if err := seccomp.NoExec(); err != nil {
			fmt.Println(err)
		}
		probe(machines)
	default:
		err := confine(Options{Socket: filepath.Join(machines, "run/socket"), Say: func(line string) { fmt.Println(line) }, Args: os.Args}, &Desk{machines: machines, keys: os.Getenv("UML_DESK_TEST_KEYS") != ""})
		fmt.Println(err)
	}
	os.Exit(0)
}

// probe prints what a service that was broken into could do.
func probe(machines string) {
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"exec", func() error { return unix.Exec("/bin/true", []string{"true"}, nil) }},
		{"network socket", func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); return err }},
		{"mount", func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
		{"write /etc", func() error { return os.WriteFile("/etc/uml-desk-test", nil, 0o600) }},
		{"write /tmp", func() error { return os.WriteFile("/tmp/uml-desk-test", nil, 0o600) }},
		{"open a disc", func() error { _, err := os.OpenFile("/dev/null", os.O_WRONLY, 0); return err }},
		{"another's file", func() error { return os.WriteFile(filepath.Join(machines, "theirs"), nil, 0o600) }},
		{"chown", func() error { return os.Chown(filepath.Join(machines, "ours"), 12345, 12345) }},
		{"be another user", func() error { _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 1, 1, 1); return e }},
		{"keys", func() error { return os.WriteFile(filepath.Join(machines, "ours"), nil, 0o600) }},
	} {
		err := c.do()
		var e unix.Errno
		errors.As(err, &e)
		fmt.Printf("%s: %s\n", c.what, unix.ErrnoName(e))
	}
	if all, _ := net.Interfaces(); len(all) > 0 {
		fmt.Println("interfaces:", len(all))
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && (strings.HasPrefix(f[0], "Cap") || f[0] == "NoNewPrivs:" || f[0] == "Seccomp:") {
			fmt.Println(f[0], f[1])
		}
	}
}

func TestConfined(t *testing.T) {
	machines := t.TempDir()
	for _, name := range []string{"theirs", "ours"} {
		if err := os.WriteFile(filepath.Join(machines, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(machines, "theirs"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	const want = `exec: EPERM
network socket: EPERM
mount: EPERM
write /etc: EROFS
write /tmp: EROFS
open a disc: EACCES
another's file: %s
chown: %s
be another user: EPERM
keys: %s
CapInh: 0000000000000000
CapPrm: 00000000000800e4
CapEff: 00000000000800e4
CapBnd: 00000000000800e4
CapAmb: 0000000000000000
NoNewPrivs: 1
Seccomp: 2
`
	for keys, want := range map[string]string{
		"":    fmt.Sprintf(want, "EROFS", "EROFS", "EROFS"),
		"yes": fmt.Sprintf(want, "EACCES", "EPERM", ""),
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), confinedEnv+"="+machines, "UML_DESK_TEST_KEYS="+keys)
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("keys %q: %v\n%s", keys, err, out)
		}
	}
}
