package probe

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain starts the test again in a network and a mount namespace of its own,
// so that neither the host's network nor its files are touched.
func TestMain(m *testing.M) {
	const inside = "PROBE_TEST_INSIDE"
	if os.Getenv(inside) != "" {
		for _, err := range []error{
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", "/run", "tmpfs", 0, ""), // names of namespaces, iptables' lock
		} {
			if err != nil {
				panic(err)
			}
		}
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // Pdeathsig is tied to the thread
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := c.Run(); err != nil && c.ProcessState == nil {
		panic(err)
	}
	os.Exit(c.ProcessState.ExitCode())
}

// A lab is this namespace's interface ext, 10.9.0.1 and fd09::1, and on the other
// end of it the namespace peer with 10.9.0.2 and fd09::2.
type lab struct{ t *testing.T }

func newLab(t *testing.T, more ...string) lab {
	t.Helper()
	l := lab{t}
	l.ip("netns add peer", "link add ext type veth peer name eth0 netns peer")
	t.Cleanup(func() { l.ip("link del ext", "netns del peer") })
	l.ip( // no address of the kernel's own, which would come when it pleases
		"link set ext addrgenmode none", "-n peer link set eth0 addrgenmode none",
		"link set ext up", "addr add 10.9.0.1/16 dev ext", "addr add fd09::1/64 dev ext nodad",
		"-n peer link set eth0 up", "-n peer addr add 10.9.0.2/16 dev eth0", "-n peer addr add fd09::2/64 dev eth0 nodad",
	)
	l.ip(more...)
	return l
}

func (l lab) ip(lines ...string) {
	l.t.Helper()
	for _, line := range lines {
		l.run("ip " + line)
	}
}

// withoutARP leaves ICMP echo as the only way to ask: each end takes the other's
// hardware address to be its own, which it is.
func (l lab) withoutARP() {
	l.t.Helper()
	l.ip("link set ext address 02:00:00:00:00:01", "link set ext arp off",
		"-n peer link set eth0 address 02:00:00:00:00:01", "-n peer link set eth0 arp off")
}

func (l lab) run(line string) {
	l.t.Helper()
	l.output(line)
}

func (l lab) output(line string) string {
	l.t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// inPeer runs f on a thread in the peer's namespace; sockets opened there stay
// there. The thread ends with f.
func (l lab) inPeer(f func()) {
	l.t.Helper()
	l.in("peer", f)
}

func (l lab) in(name string, f func()) {
	l.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		ns, err := os.Open("/run/netns/" + name)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		l.t.Fatal(err)
	}
}

// A packet of the peer's: an ICMP message from any source, whether the peer has
// it or not, with IP options of 4 bytes or none.
type packet struct {
	from    netip.Addr
	options []byte
	message []byte
}

func (p packet) bytes(to netip.Addr) []byte {
	header := 20 + len(p.options)
	b := make([]byte, header, header+len(p.message))
	b[0] = 4<<4 | byte(header/4)
	b[8] = 64
	b[9] = unix.IPPROTO_ICMP
	copy(b[12:], p.from.AsSlice())
	copy(b[16:], to.AsSlice())
	copy(b[20:], p.options)
	return append(b, p.message...) // the kernel fills in length and checksum
}

// sender is a socket in the peer for packets with their headers.
func (l lab) sender() int {
	l.t.Helper()
	var fd int
	var err error
	l.inPeer(func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

var host = netip.MustParseAddr("10.9.0.1")

// answerBy lets reply answer in place of the peer's kernel, which falls silent.
// It gets the address asked and the answer that the kernel would have given.
func (l lab) answerBy(reply func(asked netip.Addr, good []byte) []packet) {
	l.t.Helper()
	l.run("ip netns exec peer sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
	out := l.sender()
	var in int
	var err error
	l.inPeer(func() { in, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP) })
	if err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan struct{})
	stop := make(chan struct{})
	unix.SetsockoptTimeval(in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000})
	go func() {
		defer close(ended)
		defer unix.Close(in)
		b := make([]byte, 1500)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, _, err := unix.Recvfrom(in, b, 0)
			if err != nil || n < 28 || b[20] != echo4.request {
				continue
			}
			good := append([]byte(nil), b[20:n]...)
			good[0] = echo4.reply
			sum(good)
			for _, p := range reply(netip.AddrFrom4([4]byte(b[16:20])), good) {
				unix.Sendto(out, p.bytes(host), 0, sockaddr(host))
			}
		}
	}()
	l.t.Cleanup(func() { close(stop); <-ended })
}

func sum(message []byte) {
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:], checksum(message))
}

// changed is a copy of a message with one byte changed and its checksum right.
func changed(message []byte, at int) []byte {
	b := append([]byte(nil), message...)
	b[at] ^= 0x40
	sum(b)
	return b
}

// addresses is n of them from first on.
func addresses(first string, n int) (all []netip.Addr) {
	a := netip.MustParseAddr(first)
	for range n {
		all = append(all, a)
		a = a.Next()
	}
	return all
}

// own is the wall and CPU time of f on one thread.
func own(f func()) (wall, cpu time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var a, b unix.Rusage
	start := time.Now()
	unix.Getrusage(unix.RUSAGE_THREAD, &a)
	f()
	unix.Getrusage(unix.RUSAGE_THREAD, &b)
	return time.Since(start), time.Duration(b.Utime.Nano() + b.Stime.Nano() - a.Utime.Nano() - a.Stime.Nano())
}
