package announce

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/apart"
)

func TestMain(m *testing.M) { apart.Main(m) }

// cable is two ends in this namespace: who announces, and who hears. It is a link
// without IPv6 detection, so that all is quiet.
func cable(t *testing.T, name string) (on Interface, ear int) {
	t.Helper()
	script := fmt.Sprintf(`ip link add %[1]sa type veth peer name %[1]sb
		sysctl -qw net.ipv6.conf.%[1]sa.accept_dad=0 net.ipv6.conf.%[1]sb.disable_ipv6=1
		ip link set %[1]sa up; ip link set %[1]sb up`, name)
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "link", "del", name+"a").Run() })
	a, err := net.InterfaceByName(name + "a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := net.InterfaceByName(name + "b")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_ALL), Ifindex: b.Index}); err != nil {
		t.Fatal(err)
	}
	return Interface{a.Name, a.Index, a.HardwareAddr}, fd
}

// hear counts the frames that come until nothing has for a while; what the kernel
// says for itself (router solicitations, group reports) is left out.
func hear(t *testing.T, fd int, quiet time.Duration) map[string]int {
	t.Helper()
	heard := map[string]int{}
	tv := unix.NsecToTimeval(quiet.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return heard
		}
		f := b[:n]
		arp := f[12] == 8 && f[13] == 6
		if arp || f[12] == 0x86 && f[20] == unix.IPPROTO_ICMPV6 && f[54] == 136 {
			heard[string(f)]++
		}
	}
}

var (
	four = netip.MustParseAddr("192.0.2.20")
	six  = netip.MustParseAddr("2001:db8:1::2")
)

// Each address is said three times, in each form, though the caller has gone on;
// the child holds nothing of the caller's and is gone afterwards.
func TestSay(t *testing.T) {
	on, ear := cable(t, "say")
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	waitLinkLocal(t, on)
	if _, err := Say(on, []netip.Addr{four, six}); err != nil {
		t.Fatal(err)
	}
	children := announcers()
	for deadline := time.Now().Add(time.Second); len(children) == 0; children = announcers() {
		if time.Now().After(deadline) {
			t.Fatal("no child announces")
		}
	}
	for _, c := range children {
		fds, _ := filepath.Glob(c + "/fd/*")
		cwd, _ := os.Readlink(c + "/cwd")
		status, _ := os.ReadFile(c + "/status")
		if len(fds) != 3 || cwd != "/" || strings.Contains(string(status), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
			t.Errorf("the child holds %d descriptors, is in %q\n%s", len(fds), cwd, status)
		}
	}
	heard := hear(t, ear, 3*time.Second)
	if len(heard) != 3 {
		t.Errorf("%d different announcements", len(heard))
	}
	for f, n := range heard {
		if n != 1+again {
			t.Errorf("%x was said %d times", f, n)
		}
		if !bytes.Equal([]byte(f[6:12]), on.MAC) {
			t.Errorf("%x comes from another hardware address", f)
		}
	}
	if left := announcers(); len(left) > 0 {
		t.Errorf("%v are still there", left)
	}
}

// An address that is given back is said no more.
func TestStop(t *testing.T) {
	on, ear := cable(t, "stop")
	r, err := Say(on, []netip.Addr{four})
	if err != nil {
		t.Fatal(err)
	}
	r.Stop()
	for f, n := range hear(t, ear, 3*time.Second) {
		if n != 1 {
			t.Errorf("%x was said %d times", f, n)
		}
	}
}

// Linux takes each for what it is: a neighbour that was known by another address
// is known by this one at once.
func TestHeeded(t *testing.T) {
	on, _ := cable(t, "heed")
	waitLinkLocal(t, on)
	runtime.LockOSThread() // never unlocked: the thread ends in the other namespace
	script := `ip addr add 192.0.2.1/24 dev heedb; sysctl -qw net.ipv6.conf.heedb.accept_dad=0 net.ipv6.conf.heedb.disable_ipv6=0
		ip addr add 2001:db8:1::1/64 dev heedb nodad
		for a in 192.0.2.20 2001:db8:1::2; do ip neigh replace $a dev heedb lladdr 02:00:00:00:00:99 nud stale; done; sleep 1.1`
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := Say(on, []netip.Addr{four, six})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		out, _ := exec.Command("ip", "neigh", "show", "dev", "heedb").CombinedOutput()
		if strings.Count(string(out), on.MAC.String()) >= 2 && !strings.Contains(string(out), "02:00:00:00:00:99") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the neighbours are\n%s", out)
		}
	}
}

// What cannot be said now, on an interface that is down, is an error, and said later.
func TestLater(t *testing.T) {
	on, ear := cable(t, "late")
	if out, err := exec.Command("ip", "link", "set", on.Name, "down").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := Say(on, []netip.Addr{four})
	if err == nil || r == nil {
		t.Fatalf("%v, %v", r, err)
	}
	r.Leave()
	if out, err := exec.Command("ip", "link", "set", on.Name, "up").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if heard := hear(t, ear, 3*time.Second); len(heard) != 2 {
		t.Errorf("%d different announcements", len(heard))
	}
}

func waitLinkLocal(t *testing.T, on Interface) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, _ := exec.Command("ip", "-6", "addr", "show", "dev", on.Name, "-tentative").CombinedOutput()
		if strings.Contains(string(out), "fe80::") {
			return
		}
	}
	t.Fatal("no link-local address")
}

// announcers are the children in this network namespace, as directories of /proc.
func announcers() (all []string) {
	own, _ := os.Readlink("/proc/self/ns/net")
	list, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range list {
		name, _ := os.ReadFile(p + "/comm")
		net, _ := os.Readlink(p + "/ns/net")
		if string(name) == "uml-announce\n" && net == own {
			all = append(all, p)
		}
	}
	return all
}
