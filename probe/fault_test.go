package probe

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// onThread runs f on a thread that prepare has changed and that ends with it.
func onThread(t *testing.T, prepare func() error, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := prepare()
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func asIs() error { return nil }

func dropPrivileges() error {
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &make([]unix.CapUserData, 2)[0])
}

// withoutIPv6 lets socket(AF_INET6) fail as under a kernel without IPv6.
func withoutIPv6() error {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_SOCKET},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // its first argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.AF_INET6},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

func TestFaults(t *testing.T) {
	l := newLab(t)
	four, six := list("10.9.0.2"), list("fd09::2")
	for _, test := range []struct {
		name     string
		external string
		addrs    []netip.Addr
		before   string
		after    string
		prepare  func() error
		want     string
		code     int
	}{
		{"no interface", "eth9", four, "", "", asIs, "bind to interface eth9: no such device", fault.MayPass},
		{"no name", "", four, "", "", asIs, `"" is not the name of an interface`, fault.MustMend},
		{"the kernel would cut the name", "ext4567890123456", four, "", "", asIs, `"ext4567890123456" is not the name of an interface`, fault.MustMend},
		{"too many", "ext", addresses("10.10.0.0", 1<<16+1), "", "", asIs, "65537 addresses to ask, there are sequence numbers for 65536", fault.MustMend},
		{"firewall", "ext", four, "iptables -A OUTPUT -p icmp -j DROP", "iptables -F OUTPUT", asIs,
			"ICMP echo to 10.9.0.2: the host's own firewall refuses to send it on ext (let it out)", fault.MayPass},
		{"firewall for IPv6", "ext", append(six, four...), "ip6tables -A OUTPUT -p icmpv6 --icmpv6-type echo-request -j DROP", "ip6tables -F OUTPUT", asIs,
			"ICMP echo to fd09::2: the host's own firewall refuses to send it on ext (let it out)", fault.MayPass},
		{"not root", "ext", four, "", "", dropPrivileges, "open a raw socket: needs root (CAP_NET_RAW): operation not permitted", fault.MustMend},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.before != "" {
				l.run(test.before)
				defer l.run(test.after)
			}
			open := descriptors(t)
			onThread(t, test.prepare, func() {
				start := time.Now()
				r, err := Ask(t.Context(), test.external, test.addrs, longest)
				if err == nil || err.Error() != test.want || fault.Code(err) != test.code {
					t.Errorf("got %v, %v (%d), want %q (%d)", r, err, fault.Code(err), test.want, test.code)
				}
				if took := time.Since(start); took >= longest {
					t.Errorf("took %v", took)
				}
			})
			if now := descriptors(t); now != open {
				t.Errorf("%d descriptors open, %d before", now, open)
			}
		})
	}
}

func TestUnasked(t *testing.T) {
	// A host without IPv6 of its own on the interface still sees who has it there.
	const noEcho6 = "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 answers neighbour advertisement from fd09::2; " +
		"fd09::2 unasked by ICMP echo: cannot assign requested address; "
	for _, test := range []struct {
		name    string
		change  string
		prepare func() error
		want    string
	}{
		{"nothing", "", asIs, "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "},
		{"interface down", "ip link set ext down", asIs,
			"10.9.0.2 unasked by ICMP echo: network is unreachable, blind; 10.9.0.2 unasked by ARP: network is down, blind; " +
				"fd09::2 unasked by ICMP echo: cannot assign requested address, blind; fd09::2 unasked by neighbour solicitation: network is down, blind; "},
		{"no address of ours", "ip addr flush dev ext scope global", asIs,
			"10.9.0.2 answers ARP from 10.9.0.2; fd09::2 answers neighbour advertisement from fd09::2; " +
				"10.9.0.2 unasked by ICMP echo: this host has no IPv4 address that could be answered; " +
				"10.9.0.2 unasked by ARP: this host has no IPv4 address that could be answered; " +
				"fd09::2 unasked by ICMP echo: cannot assign requested address; "},
		{"no IPv6", "", withoutIPv6,
			"10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 unasked by ICMP echo: open a raw socket: address family not supported by protocol, blind; "},
		{"IPv6 disabled on the interface", "sysctl -qw net.ipv6.conf.ext.disable_ipv6=1", asIs, noEcho6},
		{"all IPv6 disabled", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1", asIs, noEcho6},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			if test.change != "" {
				l.run(test.change)
				defer l.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=0")
			}
			open := descriptors(t)
			onThread(t, test.prepare, func() {
				patiently(t, test.want, func(timeout time.Duration) string {
					r, err := Ask(t.Context(), "ext", list("10.9.0.2", "fd09::2"), timeout)
					if err != nil {
						return err.Error()
					}
					return text(r)
				})
			})
			if now := descriptors(t); now != open {
				t.Errorf("%d descriptors open, %d before", now, open)
			}
		})
	}
}

// An address that could be asked later, and an interface that goes away.
func TestChange(t *testing.T) {
	l := newLab(t)
	patiently(t, "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; ", func(timeout time.Duration) string {
		l.ip("link set ext down")
		up := time.AfterFunc(timeout/6, func() { l.ip("link set ext up") })
		defer up.Stop()
		return text(mustAsk(t, list("10.9.0.2"), 6*timeout))
	})
	patiently(t, "interface gone is gone", func(timeout time.Duration) string {
		l.ip("link add gone type veth peer name other", "link set gone up")
		gone := make(chan bool)
		time.AfterFunc(timeout/6, func() { l.ip("link del gone"); close(gone) })
		_, err := Ask(t.Context(), "gone", list("10.9.0.2"), timeout)
		<-gone
		if err == nil || fault.Code(err) != fault.MayPass {
			return fmt.Sprint("as what may pass: ", err)
		}
		return err.Error()[strings.Index(err.Error(), "interface"):]
	})
}

// Questions to silent neighbours, and those that a slow interface has not sent
// yet, stay in the socket's buffer: all tries must fit.
func TestRoom(t *testing.T) {
	l := newLab(t)
	l.run("tc qdisc add dev ext root tbf rate 8kbit burst 2kb limit 10mb")
	for _, first := range []string{"10.9.8.1", "fd09::8:1"} {
		q, err := open("ext", addresses(first, 300))
		if err != nil {
			t.Fatal(err)
		}
		defer q.close()
		for try := range tries {
			q.send()
			for _, w := range q.wires {
				for _, a := range w.asks {
					if a.why != nil {
						t.Fatalf("%s to %s, try %d: %v", w.how, a.address, try+1, a.why)
					}
				}
			}
		}
	}
}

// What came between socket and filter is not taken for an answer.
func TestDrained(t *testing.T) {
	l := newLab(t)
	out := l.sender()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for range 10 {
		unix.Sendto(out, packet{netip.MustParseAddr("10.9.0.2"), nil, reply(echo4, 0)}.bytes(host), 0, sockaddr(host))
	}
	awaitPacket(fd)
	if n, err := unix.IoctlGetInt(fd, unix.SIOCINQ); n == 0 || err != nil {
		t.Fatalf("nothing queued (%v)", err)
	}
	if err := filter(fd, echo4, stampA.id); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.IoctlGetInt(fd, unix.SIOCINQ); n != 0 || err != nil {
		t.Errorf("got %d bytes queued, %v, want none", n, err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
