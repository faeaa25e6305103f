package test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"uml/test/lab"
)

// A guest that inherits its TAP, and one without a network, run in a network
// namespace that holds nothing; the first is reached all the same, and so is the
// kernel's mconsole, however often it ends and comes back.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "transport": "fd"})
	m.Activate()
	pid := m.WaitUp(0)
	for _, end := range []func(){
		func() { m.Svc("-t") },
		func() { l.Kill(pid, syscall.SIGKILL) },
		func() { m.Tell("reboot -f") },
	} {
		alone(t, l, m, pid)
		end()
		pid = m.WaitUp(pid)
	}
	alone(t, l, m, pid)

	m.Svc("-d")
	m.WaitDown()
	nothingRuns(t, l, m)
	l.Wait("nobody answers for the guest", func() bool { return !l.Ping(address) })
	equal(t, l.Must("uml-jail", "guest", "--", "busybox", "sh", "-c", "ls /dev"), "null\nptmx\npts\n")
}

func TestNoNetwork(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{})
	m.Activate()
	m.WaitLog("guest up")
	alone(t, l, m, m.PID())
}

// alone: the kernel shares no network namespace with the host, has no device to
// open a TAP, and is told things by its mconsole.
func alone(t *testing.T, l *lab.Lab, m *lab.Machine, pid int) {
	t.Helper()
	host, err := os.Readlink(l.Proc(1, "ns/net"))
	if err != nil {
		t.Fatal(err)
	}
	if own, err := os.Readlink(l.Proc(pid, "ns/net")); err != nil || own == host {
		t.Errorf("the kernel's network namespace is %s, %v; the host's %s", own, err, host)
	}
	if _, err := os.Lstat(l.Proc(pid, "root/dev/net")); !os.IsNotExist(err) {
		t.Errorf("/dev/net in the jail: %v", err)
	}
	dev, err := os.ReadFile(l.Proc(pid, "net/dev"))
	if err != nil || strings.Count(string(dev), ":") != 1 || !strings.Contains(string(dev), "lo:") {
		t.Errorf("the kernel sees the interfaces %s %v", dev, err)
	}
	got := l.Must("uml-ctl", "--timeout", "1m", "version", m.Name)
	if !strings.HasPrefix(got, "Linux ") {
		t.Errorf("mconsole: %q", got)
	}
}

func TestHandedOverDryRun(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Machine("guest", lab.Settings{"ip4": address, "transport": "fd"})
	plan := l.Must("uml-run", "--dry-run", "guest")
	for _, want := range []string{
		"\nnet    open tap_guest as descriptor 100, without offloads\n",
		"\njail   unshare network namespace, empty\n",
		"\njail   mount tmpfs /dev nosuid,noexec: null ptmx\n",
		" vec0:transport=fd,fd=100,vec=0,mac=fe:fd:c0:00:02:14 ",
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("no %q in\n%s", want, plan)
		}
	}
}
