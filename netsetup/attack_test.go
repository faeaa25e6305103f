package netsetup

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/guard"
	"uml/settings"
	"uml/test/frames"
)

// A street is a bridge of the host with a wire to another host, a guest that is
// attacked from, and a second guest.
type street struct {
	world
	guest, second *settings.Machine
	tap           *os.File // the guest's end of its TAP
	scene         frames.Scene
	heard         []*ear
}

// An ear keeps what it heard of frames that have a mark.
type ear struct {
	where string
	hold  sync.Mutex
	marks map[string]bool
}

func (e *ear) take(frame []byte) {
	for _, word := range []string{"[forged ", "[honest "} {
		if i := bytes.Index(frame, []byte(word)); i >= 0 && len(frame) >= i+16 {
			e.hold.Lock()
			e.marks[string(frame[i:i+16])] = true
			e.hold.Unlock()
		}
	}
}

func (e *ear) heard(f frames.Frame) bool {
	e.hold.Lock()
	defer e.hold.Unlock()
	return e.marks[string(f.Mark)]
}

func bridged(name string, uid int, last byte, ip6 string) *settings.Machine {
	return &settings.Machine{
		Real: "/machines/" + name, Name: name, TAP: "tap_" + name,
		User: settings.Account{Name: name, UID: uid, GID: uid},
		MAC:  net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, last},
		IP4:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), 32)},
		IP6:  []netip.Prefix{netip.MustParsePrefix(ip6)},
		Net:  settings.Net{Kind: settings.Bridged, Bridge: "br0"},
	}
}

// newBridge: without multicast snooping, which keeps membership reports from those
// who do not ask for them. The wire takes 9000 bytes, and so must the TAPs.
func newBridge(t *testing.T) world {
	t.Helper()
	w := world{newSpace(t), newSpace(t)}
	w.host.sh("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	w.host.sh(fmt.Sprintf(`ip link set lo up; ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d
		ip link add br0 type bridge mcast_snooping 0; ip link set dev eth0 mtu 9000 master br0 up; ip link set br0 up
		ip addr add 192.0.2.1/24 dev br0
		for f in /proc/sys/net/bridge/bridge-nf-call-*; do test ! -e $f || echo 0 > $f; done`, os.Getpid(), w.other.fd))
	w.other.sh("ip link set lo up; ip link set eth0 mtu 9000 up")
	w.host.sh(isUp("br0") + "; until ip -6 addr show dev br0 scope link | grep -q fe80; do sleep 0.01; done") // no test sees it come
	return w
}

func newStreet(t *testing.T, set func(*settings.Machine)) *street {
	t.Helper()
	s := &street{world: newBridge(t), guest: bridged("bara", 1001, 20, "2001:db8::/64"), second: bridged("other", 1002, 21, "2001:db8::/64")}
	set(s.guest)
	set(s.second)
	s.up(t, s.guest)
	s.up(t, s.second)
	s.tap = openTAP(t, s.host, s.guest.TAP)
	second := openTAP(t, s.host, s.second.TAP)
	t.Cleanup(func() { s.tap.Close(); second.Close() })
	node := func(m *settings.Machine) frames.Node {
		return frames.Node{MAC: m.MAC, IP4: m.IP4[0].Addr(), IP6: m.Autoconfigured(m.IP6[0]), Link: m.LinkLocal()}
	}
	s.scene = frames.Scene{
		Kind: frames.Bridged, Guest: node(s.guest), Other: node(s.second), Prefix: s.guest.IP6[0],
		Host:   frames.Node{MAC: s.macOf(t, s.host, "br0"), IP4: netip.MustParseAddr("192.0.2.1"), IP6: netip.MustParseAddr("2001:db8::1"), Link: netip.MustParseAddr("fe80::1")},
		Router: frames.Node{MAC: s.macOf(t, s.other, "eth0"), IP4: netip.MustParseAddr("192.0.2.254"), IP6: netip.MustParseAddr("2001:db8::fe"), Link: netip.MustParseAddr("fe80::fe")},
	}
	s.heard = []*ear{s.listen(t, s.other, "eth0"), s.listen(t, s.host, "br0"), {where: s.second.TAP, marks: map[string]bool{}}}
	go hear(second, s.heard[2])
	// A port forwards only when a worker of the kernel has seen its carrier, once a second.
	all := s.heard
	s.heard = all[:2]
	s.send(t, nil)
	s.heard = all
	return s
}

func (w world) macOf(t *testing.T, s *space, name string) (mac net.HardwareAddr) {
	t.Helper()
	var err error
	s.do(func() {
		var i *net.Interface
		if i, err = net.InterfaceByName(name); err == nil {
			mac = i.HardwareAddr
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// listen hears all frames that come in on an interface.
func (w world) listen(t *testing.T, s *space, name string) *ear {
	t.Helper()
	var fd int
	var err error
	s.do(func() {
		var i *net.Interface
		if i, err = net.InterfaceByName(name); err != nil {
			return
		}
		all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return
		}
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return
		}
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	})
	if err != nil {
		t.Fatalf("listen on %s: %v", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	e := &ear{where: name, marks: map[string]bool{}}
	go hear(f, e)
	return e
}

func hear(f *os.File, e *ear) {
	b := make([]byte, 65536)
	for {
		n, err := f.Read(b)
		if err != nil {
			return
		}
		e.take(b[:n])
	}
}

// send sends frames, and then an honest one again and again until all have heard
// it: what was sent before has by then arrived, or does not.
func (s *street) send(t *testing.T, all []frames.Frame) {
	t.Helper()
	for _, f := range all {
		if _, err := s.tap.Write(f.Bytes); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	last := s.sentinel()
	until(t, "the last frame", func() bool {
		_, err := s.tap.Write(last.Bytes)
		return err == nil && !slices.ContainsFunc(s.heard, func(e *ear) bool { return !e.heard(last) })
	})
}

// sentinel is an honest frame that all hear.
func (s *street) sentinel() frames.Frame {
	for _, f := range frames.Honest(s.scene, 9000) {
		if f.Name == "ARP announcement" {
			for _, e := range s.heard {
				e.hold.Lock()
				delete(e.marks, string(f.Mark))
				e.hold.Unlock()
			}
			return f
		}
	}
	panic("no such frame")
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited a minute for %s", what)
}

// by are the names of the frames that any of the ears has heard.
func (s *street) by(all []frames.Frame) (names []string) {
	for _, f := range all {
		if slices.ContainsFunc(s.heard, func(e *ear) bool { return e.heard(f) }) {
			names = append(names, f.Name)
		}
	}
	return names
}

// No forgery leaves a guest, and all that is honest does; what was dropped is
// counted.
func TestForgeries(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(*settings.Machine) {})
	forged, honest := frames.Forgeries(s.scene), frames.Honest(s.scene, 9000)
	if len(forged) < 60 {
		t.Errorf("only %d forgeries", len(forged))
	}
	s.send(t, forged)
	if got := s.by(forged); len(got) > 0 {
		t.Errorf("of %d forgeries %d arrive:\n%s", len(forged), len(got), strings.Join(got, "\n"))
	}
	dropped := s.state(t, s.guest).Filtered.Packets
	if n := len(forged) - len(kernelDrops); dropped != uint64(n) {
		t.Errorf("%d dropped frames are counted, not %d", dropped, n)
	}
	s.send(t, honest)
	for _, f := range honest {
		if !s.heard[0].heard(f) {
			t.Errorf("%s: does not arrive", f.Name)
		}
	}
	s.other.sh("ip addr add 192.0.2.99/24 dev eth0")
	ping(t, s.other, "192.0.2.1") // who is no guest of ours is not touched
	if again := s.state(t, s.guest).Filtered.Packets; again != dropped {
		t.Errorf("%d of the honest frames were dropped", again-dropped)
	}
}

// kernelDrops are those that no bridge forwards: from no hardware address and from a
// group's, and a pause.
var kernelDrops = []string{"IPv4 from no hardware address", "IPv4 from a group's hardware address", "a pause"}

// toSwitches are those that no bridge forwards by default: those for itself.
func toSwitches(f frames.Frame) bool {
	return bytes.HasPrefix(f.Bytes, []byte{1, 0x80, 0xc2, 0, 0}) && f.Bytes[5] < 16 && f.Bytes[5] > 0
}

// With spoof allow nothing is held back; so the ears would have heard each forgery.
func TestSpoofAllow(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(m *settings.Machine) { m.Spoof = true })
	all := append(frames.Forgeries(s.scene), frames.Honest(s.scene, 9000)...)
	// A forged hardware address would draw what is for its owner to the guest.
	s.host.sh(fmt.Sprintf("bridge fdb replace %v dev eth0 master static sticky; bridge fdb replace %v dev %s master static sticky",
		s.scene.Router.MAC, s.second.MAC, s.second.TAP))
	s.send(t, all)
	got := s.by(all)
	for _, f := range all {
		if !slices.Contains(got, f.Name) && !slices.Contains(kernelDrops, f.Name) && !toSwitches(f) {
			t.Errorf("%s: does not arrive", f.Name)
		}
	}
}

// Isolated guests reach the network and their host, and never each other.
func TestIsolated(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(m *settings.Machine) { m.Isolated = true })
	second := s.heard[2]
	s.heard = s.heard[:2]
	honest := frames.Honest(s.scene, 9000)
	s.send(t, honest)
	for _, f := range honest {
		if !s.heard[0].heard(f) {
			t.Errorf("%s: does not arrive on the wire", f.Name)
		}
		if second.heard(f) {
			t.Errorf("%s: reaches another isolated guest", f.Name)
		}
	}
}

// A TAP that the filter does not know, as after somebody took its elements away, sends
// nothing.
func TestShut(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(*settings.Machine) {})
	s.in(t, "Expel", func() error {
		f, err := guard.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Expel(s.guest.TAP)
	})
	honest := frames.Honest(s.scene, 9000)
	for _, f := range honest {
		if _, err := s.tap.Write(f.Bytes); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	s.up(t, s.guest)
	s.send(t, nil)
	for _, name := range s.by(honest) {
		if name != "ARP announcement" { // which send sends
			t.Errorf("%s: was let through", name)
		}
	}
}

func (w world) state(t *testing.T, m *settings.Machine) (s *State) {
	t.Helper()
	w.in(t, "Look", func() (err error) { s, err = Look(m, host()); return err })
	return s
}
