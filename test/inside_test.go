package test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/jail"
	"uml/test/lab"
)

const (
	hostsTCP      = lab.HostIP4 + ":7000"
	hostsAbstract = "service-of-the-host"
)

// What breaks out of a guest kernel finds an empty room: each line of the golden
// file is something that it tries.
func TestHostileInside(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	hostile := buildHostile(t, l)
	m := l.Machine("guest", lab.Settings{"ip4": address, "mem": "32M", "nproc": "1000", "nofile": "256"})
	other := l.Machine("other", lab.Settings{"ip4": "192.0.2.21"})
	l.Must("uml-net", "up", "guest", "other")
	same1 := stander(t, l, m, hostile)
	targets := []string{"same=" + same1, "other=1", "lock=" + m.Dir + "/lock", "tap=tap_" + other.Name, "own=tap_guest",
		"abstract=" + hostsAbstract, "tcp=" + hostsTCP}
	// The same attempts succeed where nothing holds them back: they are well made.
	for _, name := range outsideSucceed {
		r := m.Run(append([]string{"setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", hostile, "try", "self=" + hostile, "only=" + name}, targets...)...)
		if !strings.HasSuffix(r.Out, "NOT REFUSED\n") {
			t.Errorf("outside of the jail: %s%s", r.Out, r.Err)
		}
	}
	closed := func() bool { return strings.Contains(l.Must("ip", "route"), "linkdown") }
	l.Wait("the TAP without carrier", closed)
	before := settled(l)
	got, errs := onTerminal(t, l, m, append([]string{"uml-jail", "--", hostile, "try"}, targets...)...)
	t.Log(errs)
	golden(t, "hostile.txt", got)
	l.Wait("the TAP without carrier", closed)
	same(t, before, settled(l))
}

var outsideSucceed = []string{
	"the host's root by a process of the same account", "trace a process of the same account", "read the memory of a process of the same account",
	"signal a process of the same account", "take a descriptor of a process of the same account", "change the limits of a process of the same account",
	"make a key", "connect to the host", "connect to an abstract socket of the host", "netlink socket",
	"see the host's interfaces", "give the own TAP away", "change the own TAP's address", "let the own TAP go",
	"shared memory of a name", "message queues", "semaphores",
	"choose the processor of a process of the same account", "personality", "listen on the host's addresses", "run a program from /tmp",
}

// stander is a process of the machine's account on the host, and a service there.
func stander(t *testing.T, l *lab.Lab, m *lab.Machine, hostile string) (pid string) {
	t.Helper()
	cmd := l.Cmd(t.Context(), "/", "setpriv", "--reuid="+m.Name, "--regid="+m.Name, "--clear-groups", hostile, "stand", hostsTCP, hostsAbstract)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Cancel(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// onTerminal runs a command of root's shell on a terminal: standard input is it.
func onTerminal(t *testing.T, l *lab.Lab, m *lab.Machine, args ...string) (out, errs string) {
	t.Helper()
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
	var o, e strings.Builder
	cmd := l.Cmd(t.Context(), m.Dir, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &o, &e
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, e.String())
	}
	return o.String(), e.String()
}

// golden compares with a file of testdata; UPDATE=1 writes it. It was written on a
// host that has all of Landlock that the jail uses; on an older one signals are
// known to be open.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	same(t, held(read(t, file)), held(got))
}

func held(lines string) string {
	if jail.LandlockABI() >= 6 {
		return lines
	}
	var rest strings.Builder
	for line := range strings.Lines(lines) {
		if !strings.HasPrefix(line, "signal a process of the same account") && !strings.HasPrefix(line, "end all processes of the account") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}
