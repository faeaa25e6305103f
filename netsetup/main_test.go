package netsetup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/settings"
)

const inside = "NETSETUP_TEST_INSIDE"

// TestMain starts the tests again in namespaces of their own, so that no mistake
// of theirs reaches this host's network.
func TestMain(m *testing.M) {
	if flags := os.Getenv("NETSETUP_TEST_ATTACH"); flags != "" {
		attachChild(flags)
	}
	if os.Getenv(inside) != "" {
		private("/run")
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces of their own (root?):", err)
		os.Exit(1)
	}
}

// private puts an empty directory of these tests' own in a directory's place.
func private(dir string) {
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("run", dir, "tmpfs", 0, "mode=755"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "mount", dir, err)
		os.Exit(1)
	}
}

// A space is a network namespace.
type space struct {
	t  testing.TB
	fd int
}

func newSpace(t testing.TB) *space {
	t.Helper()
	s := &space{t, -1}
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	})
	if err != nil {
		t.Fatal("new network namespace:", err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// do runs f on a thread in the namespace.
func (s *space) do(f func()) {
	s.t.Helper()
	var err error
	onThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err == nil {
			f()
		}
	})
	if err != nil {
		s.t.Fatal("enter network namespace:", err)
	}
}

// onThread runs f on a thread that ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// try runs shell lines in the namespace.
func (s *space) try(script string) (string, error) {
	var out []byte
	var err error
	s.do(func() { out, err = exec.Command("sh", "-ec", script).CombinedOutput() })
	return string(out), err
}

func (s *space) sh(script string) string {
	s.t.Helper()
	out, err := s.try(script)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// A world is the host under test, and another host beside it that is also the
// router, with an address further out.
type world struct{ host, other *space }

func newWorld(t testing.TB) world {
	t.Helper()
	w := world{newSpace(t), newSpace(t)}
	for _, s := range []*space{w.host, w.other} {
		s.sh("ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	}
	w.host.sh(fmt.Sprintf("ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d", os.Getpid(), w.other.fd))
	w.host.sh(`ip addr add 192.0.2.1/24 dev eth0; ip -6 addr add 2001:db8::1/64 dev eth0 nodad
		ip link set eth0 up`)
	w.other.sh(`ip addr add 192.0.2.2/24 dev eth0; ip addr add 192.0.2.254/24 dev eth0; ip addr add 203.0.113.1/32 dev lo
		ip -6 addr add 2001:db8::2/64 dev eth0 nodad; ip link set eth0 up`)
	w.host.sh("ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8::2")
	w.other.sh("ip -6 route add 2001:db8:1::/48 via 2001:db8::1; ip -6 route add 2001:db8:2::/48 via 2001:db8::1")
	// What the kernel says of a device comes from a worker of its own, later.
	for _, s := range []*space{w.host, w.other} {
		s.sh(isUp("eth0"))
	}
	return w
}

func (w world) up(t *testing.T, m *settings.Machine) {
	t.Helper()
	w.host.do(func() {
		if err := up(context.Background(), m, host()); err != nil {
			t.Errorf("Up: %v", err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

// mac is the host's on eth0.
func (w world) mac(t *testing.T) (mac net.HardwareAddr) {
	t.Helper()
	w.in(t, "InterfaceByName", func() error {
		i, err := net.InterfaceByName("eth0")
		if err == nil {
			mac = i.HardwareAddr
		}
		return err
	})
	return mac
}

func (w world) in(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	w.host.do(func() { err = f() })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// plan is what Up would do.
func (w world) plan(t *testing.T, m *settings.Machine) (lines []string) {
	t.Helper()
	w.in(t, "Plan", func() (err error) { lines, err = Plan(m, host()); return err })
	return lines
}

// snapshot is all that Up can change for a machine, without numbers that differ
// from run to run, and without the kernel's own link-local addresses, which come
// when it pleases.
func (w world) snapshot(t *testing.T) string {
	t.Helper()
	return w.host.sh(`ip -d link | sed -E 's/^[0-9]+: //; s/(link-netnsid|portid|gso_max|tso_max|gro_max).*//; s/@if[0-9]+//'
		ip addr | sed -E 's/^[0-9]+: //; s/@if[0-9]+//' | grep inet | grep -v fe80: || true
		ip route; ip -6 route | grep -v ^fe80: | sort; ip neigh show proxy; ip -6 neigh show proxy`)
}

// switches are the values of the sysctls that Up sets.
func (w world) switches(tap string) string {
	return w.host.sh(fmt.Sprintf("for d in eth0 %s; do grep -H . /proc/sys/net/ipv[46]/conf/$d/* /proc/sys/net/ipv4/neigh/$d/proxy_delay 2>/dev/null | grep -v stable_secret; done", tap))
}

func host() *settings.Host {
	return &settings.Host{Dir: "/etc/uml-run", Publish: true, GuestToHost: true}
}

func machine(ip ...string) *settings.Machine {
	m := &settings.Machine{
		Real: "/machines/bara", Name: "bara",
		User: settings.Account{Name: "bara", UID: 1001, GID: 1001},
		MAC:  net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, 20},
		TAP:  "tap_bara",
		Net:  settings.Net{Kind: settings.Routed},
	}
	for _, s := range ip {
		p := netip.MustParsePrefix(s)
		if p.Addr().Is4() {
			m.IP4 = append(m.IP4, p)
		} else {
			m.IP6 = append(m.IP6, p)
		}
	}
	return m
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	dir := t.TempDir()
	os.WriteFile(dir+"/want", []byte(want), 0o600)
	os.WriteFile(dir+"/got", []byte(got), 0o600)
	diff, _ := exec.Command("diff", "-u", dir+"/want", dir+"/got").CombinedOutput()
	t.Fatalf("%s differs:\n%s", what, diff)
}

func lines(l ...string) string { return strings.Join(l, "\n") }

func up(ctx context.Context, m *settings.Machine, h *settings.Host) error {
	_, err := Up(ctx, m, h)
	return err
}
