package probe

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A second is the default time-out, which an old host's delay needs.
const second = time.Second

// hardware is the address of the peer's interface.
func (l lab) hardware() (mac net.HardwareAddr) {
	l.t.Helper()
	l.inPeer(func() {
		if i, err := net.InterfaceByName("eth0"); err == nil {
			mac = i.HardwareAddr
		}
	})
	return mac
}

// A host that has the address and drops pings.
func TestFirewalled(t *testing.T) {
	l := newLab(t)
	l.run("ip netns exec peer iptables -A INPUT -p icmp -j DROP")
	l.run("ip netns exec peer ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP")
	r := answers(t, "10.9.0.2 answers ARP from 10.9.0.2; fd09::2 answers neighbour advertisement from fd09::2; ", list("10.9.0.2", "fd09::2"))
	for _, a := range r.Answers {
		if !slices.Equal(a.MAC, l.hardware()) {
			t.Errorf("%v: got hardware address %v, want %v", a.Address, a.MAC, l.hardware())
		}
	}
}

// publish makes a namespace publish two addresses that it routes elsewhere, with
// the kernel's own proxy_delay, as a host does whose guest has gone.
func (l lab) publish(in, dev string) {
	l.t.Helper()
	for _, line := range []string{"ip link add guests type veth peer name far", "ip link set guests up", "ip link set far up",
		"ip route add 10.9.5.5 dev guests", "ip -6 route add fd09::5:5 dev guests",
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.all.proxy_ndp=1 net.ipv6.conf." + dev + ".proxy_ndp=1",
		"ip neigh add proxy 10.9.5.5 dev " + dev, "ip neigh add proxy fd09::5:5 dev " + dev} {
		l.run(in + line)
	}
}

// The host itself asks too, for its echo, but not for what it routes by another.
func TestPublished(t *testing.T) {
	l := newLab(t, "route add 10.9.5.5 via 10.9.0.2", "-6 route add fd09::5:5 via fd09::2")
	l.publish("ip netns exec peer ", "eth0")
	const want = "10.9.5.5 answers ARP (published?) from 10.9.5.5; fd09::5:5 answers neighbour advertisement (published?) from fd09::5:5; "
	others := append(addresses("10.9.6.1", 200), addresses("fd09::6:1", 50)...)
	answers(t, want, append(list("10.9.5.5", "fd09::5:5"), others...))
}

// What this host publishes itself is no conflict, even if it hears its own questions.
func TestOwnPublished(t *testing.T) {
	l := newLab(t)
	l.publish("", "ext")
	t.Cleanup(func() {
		l.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.all.proxy_ndp=0")
		l.ip("link del guests")
	})
	l.returnAll()
	if got := text(mustAsk(t, list("10.9.5.5", "fd09::5:5"), second)); got != "" {
		t.Errorf("got %q, want silence", got)
	}
}

// packetSocket is one in the peer for whole frames.
func (l lab) packetSocket(proto uint16) int {
	l.t.Helper()
	return l.socketIn("peer", "eth0", proto)
}

func (l lab) socketIn(name, dev string, proto uint16) int {
	l.t.Helper()
	var fd int
	var err error
	l.in(name, func() {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(network(proto)))
		if err == nil {
			var p port
			p.fd = fd
			_, err = p.look(dev)
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network(proto), Ifindex: p.index})
		}
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// returnAll makes the peer send every frame back as it came, like a loop.
func (l lab) returnAll() {
	l.t.Helper()
	fd := l.packetSocket(unix.ETH_P_ALL)
	l.forward(fd, fd, func([]byte) (bool, time.Duration) { return true, 0 })
}

// forward sends what comes in on one socket out on the other, if it passes, and
// as late as that says.
func (l lab) forward(in, out int, pass func([]byte) (bool, time.Duration)) {
	l.t.Helper()
	unix.SetsockoptTimeval(in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000})
	stop := make(chan struct{})
	var goOn sync.WaitGroup
	goOn.Go(func() {
		b := make([]byte, 2000)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := unix.Recvfrom(in, b, 0)
			a, ok := from.(*unix.SockaddrLinklayer)
			if err != nil || !ok || a.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			pass, late := pass(b[:n])
			switch frame := slices.Clone(b[:n]); {
			case !pass:
			case late == 0:
				unix.Write(out, frame)
			default:
				goOn.Go(func() { time.Sleep(late); unix.Write(out, frame) })
			}
		}
	})
	l.t.Cleanup(func() { close(stop); goOn.Wait() })
}

var (
	broadcast = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	nodesMAC  = []byte{0x33, 0x33, 0, 0, 0, 1}
)

func frame(to, from []byte, proto uint16, body []byte) []byte {
	return slices.Concat(to, from, []byte{byte(proto >> 8), byte(proto)}, body)
}

// tagged puts a frame into a VLAN.
func tagged(b []byte, vlan byte) []byte { return slices.Insert(slices.Clone(b), 12, 0x81, 0, 0, vlan) }

// Each frame speaks of an address of its own, that nobody else has.
func TestFrames(t *testing.T) {
	l := newLab(t)
	ext, err := net.InterfaceByName("ext")
	if err != nil {
		t.Fatal(err)
	}
	own := [6]byte(ext.HardwareAddr)
	stranger := []byte{2, 0, 0, 0, 0, 0xc}
	arpTo := func(to []byte, body []byte) []byte { return frame(to, macA[:], unix.ETH_P_ARP, body) }
	arpFrame := func(body []byte) []byte { return arpTo(broadcast, body) }
	nd := func(body []byte) []byte { return frame(nodesMAC, macA[:], unix.ETH_P_IPV6, body) }
	group := func(a netip.Addr, body []byte) []byte {
		to := groupMAC(solicitedNode(a))
		return frame(to[:], macA[:], unix.ETH_P_IPV6, body)
	}
	const published, rival, na, ns = "ARP (published?)", "rival ARP probe", "neighbour advertisement", "rival neighbour solicitation"

	var addrs []netip.Addr
	var frames [][]byte
	var names []string
	wants := map[string]string{}
	for i, test := range []struct {
		name  string
		frame func(a netip.Addr) []byte
		want  string
	}{
		{"announcement", func(a netip.Addr) []byte { return arpFrame(bytes4(arpRequest, a, a)) }, "ARP"},
		{"announcement as reply", func(a netip.Addr) []byte { return arpFrame(bytes4(arpReply, a, a)) }, "ARP"},
		{"question from it", func(a netip.Addr) []byte { return arpFrame(bytes4(arpRequest, a, other4)) }, "ARP"},
		{"answer to a probe", func(a netip.Addr) []byte { return arpTo(own[:], bytes4(arpReply, a, zero4)) }, "ARP"},
		{"answer to a request", func(a netip.Addr) []byte { return arpTo(own[:], bytes4(arpReply, a, host)) }, published},
		{"padded", func(a netip.Addr) []byte { return arpFrame(append(bytes4(arpRequest, a, a), make([]byte, 18)...)) }, "ARP"},
		{"priority tag", func(a netip.Addr) []byte { return tagged(arpFrame(bytes4(arpRequest, a, a)), 0) }, "ARP"},
		{"probe", func(a netip.Addr) []byte { return arpFrame(bytes4(arpRequest, zero4, a)) }, rival},
		{"question for it", func(a netip.Addr) []byte { return arpFrame(bytes4(arpRequest, other4, a)) }, ""},
		{"answer about another", func(a netip.Addr) []byte { return arpTo(own[:], bytes4(arpReply, other4, a)) }, ""},
		{"own address in it", func(a netip.Addr) []byte {
			b := arp{arpRequest, own, a, a}.bytes()
			return arpFrame(b[:])
		}, ""},
		{"own frame", func(a netip.Addr) []byte {
			return frame(broadcast, own[:], unix.ETH_P_ARP, bytes4(arpRequest, zero4, a))
		}, ""},
		{"to another host", func(a netip.Addr) []byte { return arpTo(stranger, bytes4(arpReply, a, other4)) }, ""},
		{"in a VLAN", func(a netip.Addr) []byte { return tagged(arpFrame(bytes4(arpRequest, a, a)), 5) }, ""},
		{"short", func(a netip.Addr) []byte { return arpFrame(bytes4(arpRequest, a, a)[:27]) }, ""},
		{"hardware length", func(a netip.Addr) []byte { return arpFrame(with(bytes4(arpRequest, a, a), 4, 8)) }, ""},
		{"protocol length", func(a netip.Addr) []byte { return arpFrame(with(bytes4(arpRequest, a, a), 5, 16)) }, ""},
		{"RARP", func(a netip.Addr) []byte { return arpFrame(with(bytes4(arpRequest, a, a), 7, 3)) }, ""},

		{"6 advertisement", func(a netip.Addr) []byte { return nd(advertise(allNodes, a, override)) }, na},
		{"6 with an option", func(a netip.Addr) []byte {
			return nd(option(advertise(allNodes, a, override), 2, 1, 2, 0, 0, 0, 0, 10))
		}, na},
		{"6 with 1000 bytes of options", func(a netip.Addr) []byte {
			return nd(option(advertise(allNodes, a, override), make([]byte, 1000)...))
		}, na},
		{"6 published", func(a netip.Addr) []byte { return nd(advertise(allNodes, a, 0)) }, na + " (published?)"},
		{"6 priority tag", func(a netip.Addr) []byte { return tagged(nd(advertise(allNodes, a, override)), 0) }, na},
		{"6 rival", func(a netip.Addr) []byte { return group(a, solicit(zero6, a)) }, ns},
		{"6 ordinary question", func(a netip.Addr) []byte { return group(a, solicit(peer6, a)) }, ""},
		{"6 solicited, to all", func(a netip.Addr) []byte { return nd(advertise(allNodes, a, solicited|override)) }, ""},
		{"6 hop limit", func(a netip.Addr) []byte { return nd(with(advertise(allNodes, a, override), 7, 254)) }, ""},
		{"6 checksum", func(a netip.Addr) []byte { return nd(with(advertise(allNodes, a, override), 42, 0)) }, ""},
		{"6 code", func(a netip.Addr) []byte { return nd(summed(with(advertise(allNodes, a, override), 41, 1))) }, ""},
		{"6 extension header", func(a netip.Addr) []byte { return nd(hopByHop(advertise(allNodes, a, override))) }, ""},
		{"6 short", func(a netip.Addr) []byte { return nd(advertise(allNodes, a, override)[:60]) }, ""},
		{"6 in a VLAN", func(a netip.Addr) []byte { return tagged(nd(advertise(allNodes, a, override)), 5) }, ""},
		{"6 to another host", func(a netip.Addr) []byte {
			return frame(stranger, macA[:], unix.ETH_P_IPV6, advertise(host6, a, override|solicited))
		}, ""},
		{"6 own frame", func(a netip.Addr) []byte {
			return frame(nodesMAC, own[:], unix.ETH_P_IPV6, advertise(allNodes, a, override))
		}, ""},
	} {
		a := netip.AddrFrom4([4]byte{10, 9, 7, byte(2*i + 11)})
		if strings.HasPrefix(test.name, "6") {
			a = netip.MustParseAddr(fmt.Sprintf("fd09::7:%x", 2*i+16))
		}
		addrs, frames = append(addrs, a), append(frames, test.frame(a))
		names, wants[test.name] = append(names, test.name), test.want
	}

	out := l.packetSocket(unix.ETH_P_LOOP)
	patiently(t, fmt.Sprint(wants), func(timeout time.Duration) string {
		sent := make(chan error, 1)
		time.AfterFunc(timeout/2, func() {
			var err error
			for _, f := range frames {
				if _, e := unix.Write(out, f); e != nil {
					err = e
				}
			}
			sent <- err
		})
		r := mustAsk(t, addrs, timeout)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		got := map[netip.Addr]string{}
		for _, a := range r.Answers {
			got[a.Address] = a.How
		}
		for _, a := range r.Rivals {
			got[a.Address] = "rival " + a.How
		}
		for _, a := range slices.Concat(r.Answers, r.Rivals) {
			if !slices.Equal(a.MAC, macA[:]) {
				t.Errorf("%v: got hardware address %v, want %x", a.Address, a.MAC, macA)
			}
		}
		heard := map[string]string{}
		for i, a := range addrs {
			heard[names[i]] = got[a]
		}
		return fmt.Sprint(heard)
	})
}

// Of two hosts that ask for one address the first hears the other; the other too
// while the first still asks.
func TestTwoAtOnce(t *testing.T) {
	const rivals = "10.9.6.6 rival ARP probe; fd09::6:6 rival neighbour solicitation; "
	for _, test := range []struct {
		name          string
		after         float64 // of the time-out
		first, second string
	}{
		{"at once", 0, rivals, rivals},
		{"in between", 0.5, rivals, rivals},
		{"after the first's last question", 0.8, rivals, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			addrs := list("10.9.6.6", "fd09::6:6")
			patiently(t, test.first+"; "+test.second, func(timeout time.Duration) string {
				second := make(chan string)
				go func() {
					time.Sleep(time.Duration(test.after * float64(timeout)))
					var got string
					l.inPeer(func() {
						r, err := Ask(t.Context(), "eth0", addrs, timeout)
						if got = text(r); err != nil {
							got = err.Error()
						}
					})
					second <- got
				}()
				first := text(mustAsk(t, addrs, timeout))
				return first + "; " + <-second
			})
		})
	}
}

// Where nobody can be asked below IP, ICMP echo is all there is.
func TestEchoAlone(t *testing.T) {
	l := newLab(t, "link add br0 type bridge", "tuntap add tun0 mode tun", "tuntap add tap0 mode tap")
	t.Cleanup(func() { l.ip("link del br0", "link del tun0", "link del tap0") })
	for _, test := range []struct {
		external string
		want     string
	}{
		{"ext", "ICMP echo, ARP, ICMP echo, neighbour solicitation"},
		{"br0", "ICMP echo, ARP, ICMP echo, neighbour solicitation"},
		{"tap0", "ICMP echo, ARP, ICMP echo, neighbour solicitation"},
		{"tun0", "ICMP echo, ICMP echo"},
		{"lo", "ICMP echo, ICMP echo"},
	} {
		if got := l.ways(test.external); got != test.want {
			t.Errorf("%s: got %s, want %s", test.external, got, test.want)
		}
	}
	l.withoutARP()
	if got := l.ways("ext"); got != "ICMP echo, ICMP echo" {
		t.Errorf("ARP off: got %s", got)
	}
	answers(t, "10.9.0.2 answers ICMP echo from 10.9.0.2; ", list("10.9.0.2"))
}

func (l lab) ways(external string) string {
	l.t.Helper()
	q, err := open(external, list("10.9.0.2", "fd09::2"))
	defer q.close()
	if err != nil {
		l.t.Fatal(err)
	}
	var all []string
	for _, w := range q.wires {
		all = append(all, w.how)
	}
	return strings.Join(all, ", ")
}

// The interface towards the network may be a bridge.
func TestBridge(t *testing.T) {
	l := newLab(t, "link add br0 type bridge", "link set br0 up", "addr flush dev ext", "link set ext master br0",
		"addr add 10.9.0.1/16 dev br0", "addr add fd09::1/64 dev br0 nodad")
	t.Cleanup(func() { l.ip("link del br0") })
	l.run("ip netns exec peer iptables -A INPUT -p icmp -j DROP")
	const want = "10.9.0.2 answers ARP from 10.9.0.2; fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "
	patiently(t, want, func(timeout time.Duration) string {
		r, err := Ask(t.Context(), "br0", list("10.9.0.2", "fd09::2"), timeout)
		if err != nil {
			return err.Error()
		}
		return text(r)
	})
}

// Whoever wants to hear a rival must be in the address's group, where a switch
// knows him.
func TestGroups(t *testing.T) {
	l := newLab(t)
	groups := func() string { return l.output("ip -6 maddr show dev ext") }
	const group = "ff02::1:ff07:1"
	q, err := open("ext", list("fd09::7:1", "fd09:0:0:1::7:1"))
	if err != nil {
		t.Fatal(err)
	}
	for range tries {
		q.send()
	}
	during := groups()
	q.close()
	if after := groups(); !strings.Contains(during, group) || strings.Contains(after, group) {
		t.Errorf("during: %s\nafter: %s", during, after)
	}
	if w := q.wires[1].asks[1]; w.why != nil {
		t.Errorf("the second address of the group: %v", w.why)
	}
}

// ARP and neighbour discovery of others do not wake us, and an answer among them
// is not lost.
func TestFrameFlood(t *testing.T) {
	l := newLab(t)
	l.run("ip netns exec peer iptables -A INPUT -p icmp -j DROP")
	l.run("ip netns exec peer ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP")
	out := l.packetSocket(unix.ETH_P_LOOP)
	unix.SetsockoptInt(out, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	var frames [][]byte
	for _, a := range addresses("10.9.100.0", 64) {
		for _, b := range [][]byte{bytes4(arpReply, a, host), bytes4(arpRequest, a, a), bytes4(arpRequest, zero4, a), bytes4(arpRequest, a, asked4)} {
			frames = append(frames, frame(broadcast, macA[:], unix.ETH_P_ARP, b))
		}
	}
	for _, a := range addresses("fd09::100:0", 64) {
		frames = append(frames, frame(nodesMAC, macA[:], unix.ETH_P_IPV6, advertise(allNodes, a, override)))
	}
	// These pass the filter, and show nothing of who is asked.
	silent6, like2 := list("fd09::99")[0], list("fd09::1:0:3")[0] // the filter takes like2 for fd09::2
	for range 8 {
		frames = append(frames,
			frame(broadcast, macA[:], unix.ETH_P_ARP, with(bytes4(arpReply, asked4, host), 4, 8)),
			frame(broadcast, macA[:], unix.ETH_P_ARP, bytes4(arpReply, zero4, asked4)),
			frame(nodesMAC, macA[:], unix.ETH_P_IPV6, solicit(peer6, silent6)),
			frame(nodesMAC, macA[:], unix.ETH_P_IPV6, advertise(allNodes, like2, override)),
			frame(nodesMAC, macA[:], unix.ETH_P_IPV6, with(advertise(allNodes, silent6, override), 42, 0)))
	}
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				ended <- n
				return
			default:
				unix.Write(out, frames[n%len(frames)])
			}
		}
	}()
	addrs := append(addresses("10.9.7.1", 40), list("10.9.0.2", "fd09::2", "fd09::99")...)
	answers(t, "10.9.0.2 answers ARP from 10.9.0.2; fd09::2 answers neighbour advertisement from fd09::2; ", addrs)
	atBest(t, timeout, timeout+late, func() { mustAsk(t, addrs, timeout) })
	close(stop)
	n := <-ended
	t.Logf("%d frames of others", n)
	if n < 1000 { // 200,000 a second on a machine that has nothing else to do
		t.Errorf("got %d frames only", n)
	}
}

// Nothing of a flood so much as reaches the sockets.
func TestFiltered(t *testing.T) {
	l := newLab(t)
	out := l.packetSocket(unix.ETH_P_LOOP)
	q, err := open("ext", list("10.9.7.1", "fd09::7:1"))
	defer q.close()
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(out, frame(broadcast, macA[:], unix.ETH_P_ARP, bytes4(arpReply, other4, asked4)))
	unix.Write(out, frame(nodesMAC, macA[:], unix.ETH_P_IPV6, advertise(allNodes, peer6, override)))
	unix.Write(out, frame(nodesMAC, macA[:], unix.ETH_P_IPV6, summed(with(advertise(allNodes, asked6, override), 40, 134))))
	unix.Write(out, frame(nodesMAC, macA[:], unix.ETH_P_IPV6, with(advertise(allNodes, asked6, override), 7, 254)))
	unix.Write(out, tagged(frame(broadcast, macA[:], unix.ETH_P_ARP, bytes4(arpReply, asked4, host)), 5))
	// What comes after them shows that they have come.
	unix.Write(out, frame(broadcast, macA[:], unix.ETH_P_ARP, bytes4(arpReply, asked4, host)))
	unix.Write(out, frame(nodesMAC, macA[:], unix.ETH_P_IPV6, option(advertise(allNodes, asked6, override), 2, 1, 2, 0, 0, 0, 0, 10)))
	for _, want := range []struct {
		wire *wire
		size int
	}{{q.wires[1], arpSize}, {q.wires[3], ipv6Header + discoverySize + 8}} {
		awaitPacket(want.wire.fd)
		var b [100]byte
		if n, _, err := unix.Recvfrom(want.wire.fd, b[:], 0); n != want.size {
			t.Errorf("%s: got %d bytes, %v, want the last %d", want.wire.how, n, err, want.size)
		}
	}
}
