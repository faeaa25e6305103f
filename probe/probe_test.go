package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	timeout = 300 * time.Millisecond
	late    = time.Second // what a machine that is not busy adds at most
	longest = time.Minute // the longest ping-timeout
)

func mustAsk(t *testing.T, addrs []netip.Addr, timeout time.Duration) Result {
	t.Helper()
	r, err := Ask(t.Context(), "ext", addrs, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// patiently tries with ever longer time-outs: on a busy machine an answer may come
// after any of them. What is wrong stays wrong.
func patiently(t *testing.T, want string, try func(timeout time.Duration) string) {
	t.Helper()
	got := ""
	for wait := timeout; wait < longest; wait *= 3 {
		if got = try(wait); got == want {
			return
		}
	}
	t.Errorf("got %q, want %q", got, want)
}

// answers asks until the answers are as wanted.
func answers(t *testing.T, want string, addrs []netip.Addr) (r Result) {
	t.Helper()
	patiently(t, want, func(timeout time.Duration) string {
		r = mustAsk(t, addrs, timeout)
		return text(r)
	})
	return r
}

// text is a result in words, for comparison.
func text(r Result) string {
	s := ""
	for _, a := range r.Answers {
		s += fmt.Sprintf("%s answers %s from %s; ", a.Address, a.How, a.From)
	}
	for _, a := range r.Rivals {
		s += fmt.Sprintf("%s rival %s; ", a.Address, a.How)
	}
	for _, a := range r.Elsewhere {
		s += fmt.Sprintf("%s elsewhere %s from %s; ", a.Address, a.How, a.From)
	}
	for _, a := range r.Unasked {
		s += fmt.Sprintf("%s unasked by %s: %v%s; ", a.Address, a.How, a.Why, map[bool]string{true: ", blind"}[a.Blind])
	}
	return s
}

func list(s ...string) (all []netip.Addr) {
	for _, a := range s {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func TestAnswers(t *testing.T) {
	newLab(t, "-n peer addr add 10.9.1.40/32 dev eth0", "-n peer addr add 10.9.1.7/32 dev eth0", "-n peer addr add 198.51.100.7/32 dev eth0",
		"addr add fe80::1/64 dev ext nodad", "-n peer addr add fe80::2/64 dev eth0 nodad")
	for _, test := range []struct {
		name  string
		addrs []netip.Addr
		want  string
	}{
		{"none asked", nil, ""},
		{"silent", list("10.9.1.1"), ""},
		{"silent IPv6", list("fd09::99"), ""},
		{"one", list("10.9.0.2"), "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; "},
		{"IPv6", list("fd09::2"), "fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "},
		{"on the link", list("fe80::2%lo"), "fe80::2 answers neighbour advertisement, ICMP echo from fe80::2; "},
		{"as IPv6", list("::ffff:10.9.0.2"), "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; "},
		{"three of 42", append(addresses("10.9.1.1", 40), list("10.9.0.2", "10.9.0.3")...),
			"10.9.1.7 answers ARP, ICMP echo from 10.9.1.7; 10.9.1.40 answers ARP, ICMP echo from 10.9.1.40; 10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; "},
		{"both families", list("fd09::3", "fd09::2", "10.9.0.2", "10.9.0.3"),
			"10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; "},
		{"no route, so on the link", list("198.51.100.7", "198.51.100.8"), "198.51.100.7 answers ARP, ICMP echo from 198.51.100.7; "},
		{"twice", list("10.9.0.2", "::ffff:10.9.0.2"), "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; "},
		{"no route for IPv6", list("2001:db8::1", "fd09::2"), "fd09::2 answers neighbour advertisement, ICMP echo from fd09::2; 2001:db8::1 unasked by ICMP echo: network is unreachable; "},
		{"broadcast", list("10.9.255.255"), "10.9.255.255 unasked by ICMP echo: permission denied; 10.9.255.255 unasked by ARP: permission denied; "},
	} {
		t.Run(test.name, func(t *testing.T) {
			answers(t, test.want, test.addrs)
		})
	}
}

// atBest repeats what a busy machine holds up until it takes no longer than last.
// It never takes less than soon.
func atBest(t *testing.T, soon, last time.Duration, f func()) {
	t.Helper()
	var wall, cpu time.Duration
	for range 30 {
		wall, cpu = own(f)
		if wall < soon || wall <= last {
			break
		}
	}
	t.Logf("%v, CPU %v", wall, cpu)
	if wall < soon || wall > last {
		t.Errorf("took %v, want %v to %v", wall, soon, last)
	}
}

func TestTime(t *testing.T) {
	newLab(t)
	for _, test := range []struct {
		name       string
		addrs      []netip.Addr
		soon, last time.Duration
	}{
		{"1 silent", addresses("10.9.1.1", 1), timeout, timeout + late},
		{"40 silent", addresses("10.9.2.1", 40), timeout, timeout + late},
		{"256 silent", addresses("10.9.3.1", 256), timeout, timeout + late},
		{"256 silent IPv6", addresses("fd09::1:1", 256), timeout, timeout + late},
		{"one silent", list("10.9.0.2", "10.9.1.1"), timeout, timeout + late},
		{"all answer", list("10.9.0.2", "fd09::2"), 0, timeout / 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			atBest(t, test.soon, test.last, func() {
				if r := mustAsk(t, test.addrs, timeout); len(r.Unasked) > 0 {
					t.Errorf("got %d unasked, the first: %s", len(r.Unasked), text(r))
				}
			})
		})
	}
}

// All of 300 answers must fit in the socket's buffer and be told apart.
func TestManyAnswers(t *testing.T) {
	l := newLab(t, "-n peer link set lo up", "-n peer route add local 10.9.4.0/22 dev lo")
	l.run("ip netns exec peer sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000")
	addrs := addresses("10.9.4.1", 300)
	patiently(t, fmt.Sprint(addrs), func(timeout time.Duration) string {
		var got []netip.Addr
		for _, a := range mustAsk(t, addrs, timeout).Answers {
			got = append(got, a.Address)
		}
		return fmt.Sprint(got)
	})
}

func TestReplies(t *testing.T) {
	other := netip.MustParseAddr("10.9.0.2")
	const good = "10.9.0.9 answers ICMP echo from 10.9.0.9; "
	seen := map[netip.Addr]int{}
	for _, test := range []struct {
		name  string
		reply func(asked netip.Addr, good []byte) []packet
		want  string
	}{
		{"good", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, m}} }, good},
		{"with IP options", func(a netip.Addr, m []byte) []packet { return []packet{{a, []byte{1, 1, 1, 0}, m}} }, good},
		{"duplicates", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, m}, {a, nil, m}, {a, nil, m}} }, good},
		{"from elsewhere", func(a netip.Addr, m []byte) []packet { return []packet{{other, nil, m}} },
			"10.9.0.9 elsewhere ICMP echo from 10.9.0.2; 10.9.0.10 elsewhere ICMP echo from 10.9.0.2; "},
		{"from elsewhere, and good", func(a netip.Addr, m []byte) []packet { return []packet{{other, nil, m}, {a, nil, m}} },
			good + "10.9.0.10 answers ICMP echo from 10.9.0.10; 10.9.0.9 elsewhere ICMP echo from 10.9.0.2; 10.9.0.10 elsewhere ICMP echo from 10.9.0.2; "},
		{"wrong type", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, changed(m, 0)}} }, ""},
		{"wrong code", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, changed(m, 1)}} }, ""},
		{"wrong id", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, changed(m, 5)}} }, ""},
		{"wrong sequence number", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, changed(m, 7)}} }, ""},
		{"another's sequence number", func(a netip.Addr, m []byte) []packet {
			m = slices.Clone(m)
			m[7] ^= 1
			sum(m)
			return []packet{{a, nil, m}}
		}, "10.9.0.9 elsewhere ICMP echo from 10.9.0.10; 10.9.0.10 elsewhere ICMP echo from 10.9.0.9; "},
		{"wrong secret", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, changed(m, 23)}} }, ""},
		{"too short", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, changed(m[:22], 2)}} }, ""},
		{"too long", func(a netip.Addr, m []byte) []packet { return []packet{{a, nil, append(m, 0, 0)}} }, ""},
		{"lost twice", func(a netip.Addr, m []byte) []packet {
			if seen[a]++; seen[a]%tries != 0 {
				return nil
			}
			return []packet{{a, nil, m}}
		}, good + "10.9.0.10 answers ICMP echo from 10.9.0.10; "},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, "-n peer addr add 10.9.0.9/32 dev eth0", "-n peer addr add 10.9.0.10/32 dev eth0")
			l.withoutARP()
			l.answerBy(test.reply)
			want := test.want
			if want == good {
				want += "10.9.0.10 answers ICMP echo from 10.9.0.10; "
			}
			answers(t, want, list("10.9.0.9", "10.9.0.10"))
		})
	}
}

func TestCancel(t *testing.T) {
	newLab(t)
	errStop := errors.New("told to stop")
	for _, after := range []time.Duration{0, 50 * time.Millisecond} {
		ctx, cancel := context.WithCancelCause(t.Context())
		timer := time.AfterFunc(after, func() { cancel(errStop) })
		defer timer.Stop()
		start := time.Now()
		_, err := Ask(ctx, "ext", list("10.9.1.1"), longest)
		if took := time.Since(start); err != errStop || took >= longest {
			t.Errorf("ended after %v: got %v after %v", after, err, took)
		}
	}
}

// Echo replies to others do not even wake us: the kernel drops them.
func TestFlood(t *testing.T) {
	l := newLab(t)
	out := l.sender()
	fd, err := openEcho(echo4, "ext", 0x1234, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	flood := func(n int) {
		for i := range n {
			s := stamp{id: uint16(i)}
			m := s.message(echo4.reply, 0)
			sum(m[:])
			unix.Sendto(out, packet{netip.MustParseAddr("10.9.0.2"), nil, m[:]}.bytes(host), 0, sockaddr(host))
		}
	}
	flood(0x10000)
	awaitPacket(fd)
	var b [100]byte
	n, _, err := unix.Recvfrom(fd, b[:], 0)
	if n != 44 || err != nil {
		t.Errorf("of all ids ours: got %d bytes, %v, want 44", n, err)
	}
	if n, _, err = unix.Recvfrom(fd, b[:], 0); err != unix.EAGAIN {
		t.Errorf("of other ids: got %d bytes, %v, want none", n, err)
	}

	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				ended <- n
				return
			default:
				flood(256)
			}
		}
	}()
	answers(t, "10.9.0.2 answers ARP, ICMP echo from 10.9.0.2; ", list("10.9.0.2", "10.9.1.1"))
	atBest(t, timeout, timeout+late, func() { mustAsk(t, list("10.9.1.1"), timeout) })
	close(stop)
	t.Logf("%d replies to others", 256*<-ended)
}

// awaitPacket waits until the socket has something, or a minute.
func awaitPacket(fd int) {
	in := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(in, 60000); err != unix.EINTR {
			return
		}
	}
}

// The same for IPv6, whose raw sockets see no IP header.
func TestFilterIPv6(t *testing.T) {
	l := newLab(t)
	var out int
	l.inPeer(func() { out, _ = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6) })
	defer unix.Close(out)
	fd, err := openEcho(echo6, "ext", stampA.id, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	good := reply(echo6, 3)
	for _, at := range []int{0, 1, 4, 5, -1} { // type, code, id, and good
		m := good
		if at >= 0 {
			m = changed(good, at)
		}
		if err := unix.Sendto(out, m, 0, sockaddr(netip.MustParseAddr("fd09::1"))); err != nil {
			t.Fatal(err)
		}
	}
	// The good one is the last, so none of the others comes after it.
	awaitPacket(fd)
	var b [100]byte
	n, from, err := unix.Recvfrom(fd, b[:], 0)
	if err != nil {
		t.Fatalf("no good reply: %v", err)
	}
	if seq, source, ok := stampA.read(echo6, b[:n], from); seq != 3 || source.String() != "fd09::2" || !ok {
		t.Errorf("got %d from %s, %v, want 3 from fd09::2", seq, source, ok)
	}
	if n, _, err := unix.Recvfrom(fd, b[:], 0); err != unix.EAGAIN {
		t.Errorf("another: got %d bytes, %v, want none", n, err)
	}
}
