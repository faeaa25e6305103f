package test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/frames"
	"uml/test/lab"
)

// An attack is a hostile guest on its TAP, another guest, and everybody who could
// hear the first. Either guest is a descriptor of its TAP: that sends whatever it
// likes.
type attack struct {
	*lab.Lab
	t        *testing.T
	attacker *os.File
	scene    frames.Scene // towards the router
	ears     []*ear
	env      []string // before each command
}

// An ear remembers the marks of frames that it heard.
type ear struct {
	name  string
	mu    sync.Mutex
	heard bytes.Buffer
}

func (e *ear) listen(f *os.File) {
	b := make([]byte, 65536)
	for {
		n, err := f.Read(b)
		if err != nil {
			return
		}
		e.mu.Lock()
		e.heard.Write(b[:n])
		e.mu.Unlock()
	}
}

func (e *ear) has(mark []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Contains(e.heard.Bytes(), mark)
}

const jumbo = 9000

// newAttack makes both guests with uml-net, which finds iptables first in path.
func newAttack(t *testing.T, path string) *attack {
	a := &attack{Lab: lab.New(t), t: t}
	a.env = []string{"env", "PATH=" + path + ":" + a.Bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	a.SetHost("guest-to-host", "yes") // the ears of the host must have a chance to hear
	a.Machine("bad", lab.Settings{"ip4": "192.0.2.20", "ip6": "2001:db8:1::/64"})
	a.Machine("good", lab.Settings{"ip4": "192.0.2.21", "ip6": "2001:db8:2::/64"})
	a.must("uml-net", "up", "bad", "good")
	a.Must("sh", "-ec", fmt.Sprintf("for d in ext0 tap_bad tap_good; do ip link set $d mtu %d; done; ip -n other link set wan0 mtu %[1]d", jumbo))
	a.attacker = a.tap("tap_bad")
	good := a.tap("tap_good")
	a.scene = frames.Scene{
		Kind:   frames.Routed,
		Guest:  frames.Node{MAC: net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, 20}, IP4: ip("192.0.2.20"), IP6: ip("2001:db8:1::2"), Link: ip("fe80::fcfd:c0ff:fe00:214")},
		Prefix: netip.MustParsePrefix("2001:db8:1::/64"),
		Host:   frames.Node{MAC: a.mac("tap_bad"), IP4: ip(lab.HostIP4), IP6: ip("2001:db8:1::1"), Link: a.linkLocal("tap_bad")},
		Other:  frames.Node{MAC: net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, 21}, IP4: ip("192.0.2.21"), IP6: ip("2001:db8:2::2"), Link: ip("fe80::fcfd:c0ff:fe00:215")},
		Router: frames.Node{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, IP4: ip(lab.OtherIP4), IP6: ip(lab.OtherIP6), Link: ip("fe80::1")},
	}
	// The other guest has no stack that answers, the host's end of the wire no
	// link-local address to ask from.
	for _, n := range []struct {
		node frames.Node
		dev  string
	}{{a.scene.Other, "tap_good"}, {a.scene.Router, "ext0"}} {
		a.Must("sh", "-ec", fmt.Sprintf("for i in %v %v; do ip neigh replace $i lladdr %v dev %s nud permanent; done", n.node.IP4, n.node.IP6, n.node.MAC, n.dev))
	}
	a.hear("the other guest", good)
	a.hear("the wire", a.inside("/run/netns/other", func() (int, error) { return packets("wan0") }))
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		a.hear("the host", a.inside("", func() (int, error) { return discard(family) }))
		a.hear("the host's path MTU", a.inside("", func() (int, error) { return tooBig(family) }))
	}
	return a
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func (a *attack) must(args ...string) string { return a.Must(append(a.env, args...)...) }

func (a *attack) mac(dev string) net.HardwareAddr {
	mac, err := net.ParseMAC(strings.TrimSpace(a.Must("cat", "/sys/class/net/"+dev+"/address")))
	if err != nil {
		a.t.Fatal(err)
	}
	return mac
}

func (a *attack) linkLocal(dev string) (found netip.Addr) {
	a.Wait("a link-local address of "+dev, func() bool {
		for _, word := range strings.Fields(a.Must("ip", "-6", "addr", "show", "dev", dev, "scope", "link", "-tentative")) {
			if p, err := netip.ParsePrefix(word); err == nil {
				found = p.Addr()
			}
		}
		return found.IsValid()
	})
	return found
}

func (a *attack) hear(name string, f *os.File) {
	e := &ear{name: name}
	a.ears = append(a.ears, e)
	go e.listen(f)
}

// inside opens something in a network namespace: the host's, or that of a path on
// it. The thread ends with it.
func (a *attack) inside(path string, open func() (int, error)) *os.File {
	a.t.Helper()
	if path == "" {
		path = "/proc/self/ns/net"
	}
	root := fmt.Sprintf("/proc/%d/root", a.PID)
	if strings.HasPrefix(path, "/proc/self") {
		root, path = "", fmt.Sprintf("/proc/%d/ns/net", a.PID)
	}
	var fd int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var ns int
		if ns, err = unix.Open(root+path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer unix.Close(ns)
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err == nil {
			fd, err = open()
		}
	}()
	<-done
	if err != nil {
		a.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	a.t.Cleanup(func() { f.Close() })
	return f
}

func (a *attack) tap(name string) *os.File {
	return a.inside("", func() (int, error) {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fd, err
		}
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return fd, err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return fd, unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	})
}

// packets is a socket that hears all frames of an interface.
func packets(dev string) (int, error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return -1, err
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
	if err != nil {
		return fd, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
}

// discard is a service of the host.
func discard(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fd, err
	}
	if family == unix.AF_INET {
		return fd, unix.Bind(fd, &unix.SockaddrInet4{Port: 9})
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
		return fd, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrInet6{Port: 9})
}

// tooBig hears what the host is told of packets that were too big.
func tooBig(family int) (int, error) {
	protocol := map[int]int{unix.AF_INET: unix.IPPROTO_ICMP, unix.AF_INET6: unix.IPPROTO_ICMPV6}[family]
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return fd, err
	}
	if family == unix.AF_INET {
		const filter, unreachable = 1, 3 // ICMP_FILTER: the types that are not heard
		return fd, unix.SetsockoptInt(fd, unix.SOL_RAW, filter, ^(1 << unreachable))
	}
	const filter, packetTooBig = 1, 2
	var blocked unix.ICMPv6Filter
	for i := range blocked.Data {
		blocked.Data[i] = ^uint32(0)
	}
	blocked.Data[0] &^= 1 << packetTooBig
	return fd, unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, filter, &blocked)
}

// scenes are the attack's own, and those in which the other guest, and the host,
// are whom frames are for.
func (a *attack) scenes() map[string]frames.Scene {
	guest, host := a.scene, a.scene
	guest.Router, host.Router = a.scene.Other, a.scene.Host
	return map[string]frames.Scene{"the wire": a.scene, "the other guest": guest, "the host": host}
}

func (a *attack) send(f frames.Frame) {
	a.t.Helper()
	if _, err := a.attacker.Write(f.Bytes); err != nil {
		a.t.Errorf("send %s: %v", f.Name, err)
	}
}

// forge sends every forgery, and after them honest packets: when these have been
// heard everywhere, what of the others was let through has been too.
func (a *attack) forge() (heard []string) {
	a.t.Helper()
	for to, s := range a.scenes() {
		forged := slices.DeleteFunc(frames.Forgeries(s), func(f frames.Frame) bool {
			// On its own link with the host a guest may have any link-local address.
			return to == "the host" && f.Name == "IPv6 from another guest's link-local"
		})
		for _, f := range forged {
			a.send(f)
		}
		a.last(to, s)
		for _, f := range forged {
			for _, e := range a.ears {
				if e.has(f.Mark) {
					heard = append(heard, fmt.Sprintf("%s: %s hears %s", to, e.name, f.Name))
				}
			}
		}
		a.forget()
	}
	return heard
}

func (a *attack) forget() {
	for _, e := range a.ears {
		e.mu.Lock()
		e.heard.Reset()
		e.mu.Unlock()
	}
}

func (a *attack) last(to string, s frames.Scene) {
	a.t.Helper()
	for _, f := range frames.Honest(s, 1500) {
		if f.Name == "IPv4 UDP" || f.Name == "IPv6 UDP" {
			a.Wait(f.Name+" heard by "+to, func() bool { a.send(f); return a.hears(to, f.Mark) })
		}
	}
}

func (a *attack) hears(name string, mark []byte) (yes bool) {
	for _, e := range a.ears {
		yes = yes || e.name == name && e.has(mark)
	}
	return yes
}

// No forgery of a routed guest reaches anybody, under either iptables; all that is
// honest does. The rules come back after a flush.
func TestAttackRouted(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"nft", "legacy"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			for _, p := range []string{"iptables", "ip6tables"} {
				if err := os.Symlink("/usr/sbin/"+p+"-"+kind, path+"/"+p); err != nil {
					t.Fatal(err)
				}
			}
			a := newAttack(t, path)
			a.honest()
			a.proof("with the rules")
			a.counted()
			wire := a.outside()
			if wire() {
				t.Error("a guest's address forged on the wire is heard by another guest")
			}
			flush := func() {
				for _, p := range []string{"iptables", "ip6tables"} {
					a.must(p, "-t", "raw", "-F")
				}
			}
			flush()
			if heard := a.forge(); len(heard) == 0 {
				t.Fatal("without rules nothing forged is heard: the ears are deaf")
			}
			if !wire() {
				t.Error("without rules the wire's forgery is not heard")
			}
			a.must("uml-net", "restore")
			a.proof("restored")
			flush()
			a.must("uml-net", "up", "good")
			a.proof("after the next up")
			a.must("uml-net", "down", "bad")
			if left := a.must("ipset", "list"); strings.Contains(left, "tap_bad") {
				t.Errorf("counts outlive their TAP:\n%s", left)
			}
		})
	}
}

func (a *attack) proof(when string) {
	a.t.Helper()
	for _, h := range a.forge() {
		a.t.Errorf("%s: %s", when, h)
	}
}

// honest: what a router passes on is heard, and nothing is taken for forged.
func (a *attack) honest() {
	a.t.Helper()
	for _, to := range []string{"the wire", "the other guest"} {
		for _, f := range frames.Honest(a.scenes()[to], jumbo) {
			a.send(f)
			if !f.Local {
				a.Wait(f.Name+" heard by "+to, func() bool { return a.hears(to, f.Mark) })
			}
		}
	}
	if got := a.must("uml-net", "show", "bad"); strings.Contains(got, "forged") || strings.Contains(got, "missing") {
		a.t.Errorf("after honest traffic uml-net show says:\n%s", got)
	}
}

// counted: of whom it was forged, and by whom, is seen.
func (a *attack) counted() {
	a.t.Helper()
	bad, good := a.must("uml-net", "show", "bad"), a.must("uml-net", "show", "good")
	if !strings.Contains(bad, "forged, and dropped: ") || !strings.Contains(bad, " from "+a.scene.Other.IP4.String()+",") {
		a.t.Errorf("uml-net show of the attacker:\n%s", bad)
	}
	if strings.Contains(good, "forged") {
		a.t.Errorf("uml-net show of the other guest:\n%s", good)
	}
}

// outside is somebody on the wire who sends as a guest of the host. What he sends
// after it comes from where the host has another way back to, which is no forgery.
func (a *attack) outside() (heard func() bool) {
	a.Must("sh", "-ec", `ip link add away type veth peer name away1; ip link set away up; ip link set away1 up
		ip route add 203.0.113.0/24 dev away; ip -6 route add 2001:db8:aaaa::/64 dev away`)
	wire := a.inside("/run/netns/other", func() (int, error) { return packets("wan0") })
	forger := a.scene
	forger.Host.MAC, forger.Router = a.mac("ext0"), a.scene.Other
	asymmetric := forger
	asymmetric.Guest.IP4, asymmetric.Guest.IP6 = ip("203.0.113.7"), ip("2001:db8:aaaa::7")
	pick := func(s frames.Scene, names ...string) []frames.Frame {
		return slices.DeleteFunc(frames.Honest(s, 1500), func(f frames.Frame) bool { return !slices.Contains(names, f.Name) })
	}
	return func() (yes bool) {
		a.forget()
		forged := pick(forger, "IPv4 TCP", "IPv6 TCP")
		for _, f := range slices.Concat(forged, pick(asymmetric, "IPv4 UDP", "IPv6 UDP")) {
			if _, err := wire.Write(f.Bytes); err != nil {
				a.t.Error(err)
			}
		}
		for _, f := range pick(asymmetric, "IPv4 UDP", "IPv6 UDP") {
			a.Wait(f.Name+" of another way back", func() bool { return a.hears("the other guest", f.Mark) })
		}
		for _, f := range forged {
			yes = yes || a.hears("the other guest", f.Mark)
		}
		return yes
	}
}

// A flood of forged packets takes no place in the table of connections.
func TestAttackConntrack(t *testing.T) {
	t.Parallel()
	a := newAttack(t, t.TempDir())
	a.Must("sh", "-ec", "for p in iptables ip6tables; do $p -A FORWARD -m conntrack --ctstate NEW -j ACCEPT; done")
	before := time.Now()
	a.proof("with connection tracking")
	entries := a.Must("cat", "/proc/net/nf_conntrack")
	if !strings.Contains(entries, "src=192.0.2.20 ") {
		t.Fatalf("the honest packets have no entry (%v later):\n%s", time.Since(before), entries)
	}
	for l := range strings.Lines(entries) {
		if strings.Contains(l, "src=192.0.2.21 dst=192.0.2.1 ") || strings.Contains(l, "src=198.51.100.7 ") || strings.Contains(l, ":0bad:") {
			t.Errorf("a forged packet has an entry: %s", l)
		}
	}
}
