package netsetup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"uml/announce"
	"uml/settings"
)

// Where the external link's prefix holds the guest's, others ask on the link for
// the guest's addresses, and the host answers for those that it knows.
func TestOnLink6(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.sh("ip -6 addr add 2001:db8:500::1/40 dev eth0 nodad")
	w.other.sh("ip -6 addr add 2001:db8:500::2/40 dev eth0 nodad")
	m := machine("192.0.2.20/32", "2001:db8:501:1::/64", "2001:db8:502::/56", "2001:db8:1::/64")
	w.up(t, m)
	if again := w.plan(t, m); again != nil {
		t.Errorf("a second Up would do %q", again)
	}
	g := w.guest(t, "tap_bara")
	g.sh(`echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
		ip addr add 192.0.2.20/32 dev eth0; ip route add default dev eth0
		ip -6 addr add 2001:db8:501:1::2/64 dev eth0 nodad; ip -6 addr add 2001:db8:501:1:fcfd:c0ff:fe00:214/64 dev eth0 nodad
		ip -6 addr add 2001:db8:502::2/128 dev lo; ip -6 addr add 2001:db8:1::2/128 dev lo
		ip -6 route add default via 2001:db8:501:1::1`)
	for _, a := range []string{"2001:db8:501:1::2", "2001:db8:501:1:fcfd:c0ff:fe00:214", "2001:db8:502::2", "2001:db8:1::2"} {
		ping(t, w.other, a)
	}
	published := w.host.sh("ip -6 neigh show proxy")
	if strings.Count(published, "\n") != 3 || strings.Contains(published, "2001:db8:1::") {
		t.Errorf("published:\n%s", published)
	}
	w.in(t, "Look", func() error {
		s, err := Look(m, host())
		if err == nil && len(s.OnLink) != 3 {
			t.Errorf("on the link are %v", s.OnLink)
		}
		return err
	})
	w.in(t, "Release", func() error { return Release(m, host()) })
	if left := w.host.sh("ip neigh show proxy; ip -6 neigh show proxy"); left != "" {
		t.Errorf("Release left\n%s", left)
	}
	w.up(t, m)
	m.IP6 = m.IP6[2:]
	w.up(t, m)
	if left := w.host.sh("ip -6 neigh show proxy"); left != "" {
		t.Errorf("without the prefix there is still\n%s", left)
	}
}

// A guest moves to another host while a router that knows it well pings it every 10
// ms: what is lost is what is sent between the one's down and the other's up. A
// router that was told nothing would send to the old host for 8 to 50 seconds.
func TestMove(t *testing.T) {
	t.Parallel()
	one, two, router := newSpace(t), newSpace(t), newSpace(t)
	for _, s := range []*space{one, two, router} {
		s.sh("ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	}
	router.sh("ip link add br0 type bridge; ip addr add 192.0.2.254/24 dev br0; ip -6 addr add 2001:db8:500::fe/40 dev br0 nodad; ip link set br0 up")
	for i, s := range []*space{one, two} {
		router.sh(fmt.Sprintf(`ip link add port%[1]d type veth peer name eth0 netns /proc/%[2]d/fd/%[3]d
			ip link set port%[1]d master br0 up`, i, os.Getpid(), s.fd))
		s.sh(fmt.Sprintf(`ip addr add 192.0.2.%[1]d/24 dev eth0; ip -6 addr add 2001:db8:500::%[1]d/40 dev eth0 nodad
			ip link set eth0 up; ip route add default via 192.0.2.254`, i+1))
	}
	m := machine("192.0.2.20/32", "2001:db8:501:1::/64")
	addresses := []string{"192.0.2.20", "2001:db8:501:1::2"}
	old := start(t, one, m)
	var streams []*stream
	for _, a := range addresses {
		ping(t, router, a)
		streams = append(streams, startStream(t, router, a))
	}
	for _, s := range streams {
		s.until(t, s.last()+100)
	}
	began := time.Now()
	old.die()
	world{host: one}.in(t, "Down", func() error { return Down(m, host()) })
	router.sh("ip link set port0 down") // or the old host would pass on what still comes to it
	start(t, two, m)
	gap := int(time.Since(began) / (10 * time.Millisecond))
	for i, s := range streams {
		s.until(t, s.last()+200)
		if lost := s.lost(); lost > gap+200 {
			t.Errorf("%s: %d lost, %d sent between down and up", addresses[i], lost, gap)
		} else {
			t.Logf("%s: %d lost, %d sent between down and up", addresses[i], lost, gap)
		}
	}
}

// start gives the machine its network on the host, announces it, and lets a guest
// take it.
func start(t *testing.T, on *space, m *settings.Machine) *guest {
	t.Helper()
	w := world{host: on}
	w.in(t, "Up", func() error {
		p, err := Up(context.Background(), m, host())
		if err == nil {
			_, err = announce.Say(announce.Interface(p.On), p.Addresses)
		}
		return err
	})
	g := w.guest(t, m.TAP)
	g.sh(`echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
		ip addr add 192.0.2.20/32 dev eth0; ip route add default dev eth0
		ip -6 addr add 2001:db8:501:1::2/64 dev eth0 nodad; ip -6 route add default via 2001:db8:501:1::1`)
	return g
}

// A stream is a ping every 10 ms.
type stream struct{ file string }

func startStream(t *testing.T, from *space, address string) *stream {
	t.Helper()
	s := &stream{t.TempDir() + "/ping"}
	out, err := os.Create(s.file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("ping", "-n", "-i", "0.01", address)
	cmd.Stdout, cmd.Stderr = out, out
	from.do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return s
}

// answered are the numbers of the pings that were.
func (s *stream) answered() (all []int) {
	text, _ := os.ReadFile(s.file)
	for l := range strings.Lines(string(text)) {
		if _, after, ok := strings.Cut(l, "icmp_seq="); ok && strings.Contains(l, " bytes from ") {
			number, _, _ := strings.Cut(after, " ")
			if n, err := strconv.Atoi(number); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

func (s *stream) last() int {
	all := s.answered()
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

// lost is the longest run of pings without an answer.
func (s *stream) lost() (most int) {
	before := 0
	for _, n := range s.answered() {
		most = max(most, n-before-1)
		before = n
	}
	return most
}

func (s *stream) until(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("ping %d", n), func() (bool, string) { return s.last() >= n, fmt.Sprint("the last was ", s.last()) })
}
