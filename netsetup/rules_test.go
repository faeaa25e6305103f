package netsetup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/settings"
	"uml/test/frames"
)

// services answers TCP and UDP on the host's ports 25 and 53.
func (w world) services(t *testing.T) {
	t.Helper()
	w.in(t, "services", func() error {
		for _, port := range []int{25, 53} {
			l, err1 := net.Listen("tcp", fmt.Sprintf(":%d", port))
			u, err2 := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			t.Cleanup(func() { l.Close(); u.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Close()
				}
			}()
			go func() {
				b := make([]byte, 1500)
				for {
					n, from, err := u.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = u.WriteTo(b[:n], from)
				}
			}()
		}
		return nil
	})
}

// answered says whether a service answers the namespace within a second.
func answered(s *space, network, address string) (yes bool) {
	s.do(func() {
		c, err := net.DialTimeout(network, address, time.Second)
		if err != nil {
			return
		}
		defer c.Close()
		if network == "tcp" {
			yes = true
			return
		}
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte("x"))
		_, err = c.Read(make([]byte, 1))
		yes = err == nil
	})
	return yes
}

// Guests reach of the host what guest-to-host says; ping, and what the host itself
// begins, always; and the world behind the host as ever.
func TestGuestToHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services(t)
	m := machine("192.0.2.20/32", "2001:db8:1::/64")
	h := &settings.Host{Dir: "/etc/uml-run", Publish: true, GuestPorts: []settings.Port{{Protocol: "udp", Number: 53}}}
	w.in(t, "Up", func() error { _, err := Up(context.Background(), m, h); return err })
	g := w.guest(t, "tap_bara")
	g.sh(paperGuest + "; ip -6 addr add 2001:db8:1::2/64 dev eth0 nodad; ip -6 route add default via 2001:db8:1::1")
	ping(t, g.space, "192.0.2.1")
	ping(t, g.space, "2001:db8:1::1")
	ping(t, g.space, "203.0.113.1")
	for _, address := range []string{"192.0.2.1", "[2001:db8:1::1]", "[2001:db8::1]"} {
		if address != "[2001:db8::1]" { // an answer from there would come from the nearer address
			eventually(t, "an answer to UDP 53", func() (bool, string) { return answered(g.space, "udp", address+":53"), address })
		}
		for _, no := range []string{"tcp 25", "tcp 53", "udp 25"} {
			if answered(g.space, no[:3], address+":"+no[4:]) {
				t.Errorf("%s: %s is answered", address, no)
			}
		}
	}
	server(t, g.space)
	eventually(t, "the guest's TCP answering the host", func() (bool, string) {
		return answered(w.host, "tcp", "192.0.2.20:80") && answered(w.host, "tcp", "[2001:db8:1::2]:80"), ""
	})
	w.in(t, "Up", func() error { _, err := Up(context.Background(), m, host()); return err })
	eventually(t, "an answer after guest-to-host yes", func() (bool, string) {
		return answered(g.space, "tcp", "192.0.2.1:25") && answered(g.space, "tcp", "[2001:db8:1::1]:25"), ""
	})
}

// No guest makes the host believe that the way to somebody else takes small packets
// only: of what it forwards for other guests it would then drop the rest.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "2001:db8:1::/64")
	w.up(t, m)
	tap, mac := openTAP(t, w.host, "tap_bara"), m.HostMAC()
	defer tap.Close()
	s := frames.Scene{
		Kind: frames.Routed, Prefix: m.IP6[0],
		Guest:  frames.Node{MAC: m.MAC, IP4: m.IP4[0].Addr(), IP6: netip.MustParseAddr("2001:db8:1::2"), Link: m.LinkLocal()},
		Host:   frames.Node{MAC: mac, IP4: netip.MustParseAddr("192.0.2.1"), IP6: netip.MustParseAddr("2001:db8:1::1")},
		Other:  frames.Node{MAC: mac, IP4: netip.MustParseAddr("198.51.100.9"), IP6: netip.MustParseAddr("2001:db8:beef::1"), Link: m.LinkLocal()},
		Router: frames.Node{MAC: mac, IP4: netip.MustParseAddr("192.0.2.254"), IP6: netip.MustParseAddr("2001:db8::2"), Link: m.LinkLocal()},
	}
	eventually(t, "a link-local address of the host", func() (bool, string) {
		out := w.host.sh("ip -6 -br addr show dev tap_bara scope link -tentative")
		for _, word := range strings.Fields(out) {
			if p, err := netip.ParsePrefix(word); err == nil {
				s.Host.Link = p.Addr()
			}
		}
		return s.Host.Link.IsValid(), out
	})
	heard := w.listen(t, w.other, "eth0")
	told := func() string {
		n := 0
		for _, f := range frames.Forgeries(s) {
			if strings.Contains(f.Name, "too big, to") || strings.Contains(f.Name, "fragmentation needed, to") {
				n++
				if _, err := tap.Write(f.Bytes); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n < 7 {
			t.Fatalf("only %d frames", n)
		}
		for _, f := range frames.Honest(s, 1500) {
			if f.Name == "IPv4 UDP" || f.Name == "IPv6 UDP" {
				until(t, "the last frame", func() bool { _, err := tap.Write(f.Bytes); return err == nil && heard.heard(f) })
			}
		}
		return w.host.sh("ip route get 198.51.100.9; ip -6 route get 2001:db8:beef::1")
	}
	for _, h := range []*settings.Host{host(), {Dir: "/etc/uml-run", Publish: true}} {
		w.in(t, "Up", func() error { return up(context.Background(), m, h) })
		if got := told(); strings.Contains(got, "mtu") {
			t.Errorf("guest-to-host %v: the host believes\n%s", h.GuestToHost, got)
		}
	}
	w.host.sh("iptables -t raw -F; ip6tables -t raw -F")
	if got := told(); strings.Count(got, "mtu") != 2 {
		t.Errorf("without rules the host believes\n%s", got)
	}
}

// Who is told to stop while another makes the rules does not wait for him.
func TestRulesWait(t *testing.T) {
	w := newWorld(t)
	f, err := os.OpenFile("/run/uml-net.lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	patience := time.AfterFunc(20*time.Second, func() { f.Close() })
	told := errors.New("told to stop")
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, told)
	defer cancel()
	w.host.do(func() { err = up(ctx, machine("192.0.2.20/32"), host()) })
	if !patience.Stop() {
		t.Error("Up waited for the lock to the end")
	}
	if !errors.Is(err, told) {
		t.Errorf("got %v", err)
	}
}

func server(t *testing.T, s *space) {
	t.Helper()
	var l net.Listener
	var err error
	s.do(func() { l, err = net.Listen("tcp", ":80") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// A TAP that lost its group, or that an earlier version made, gets it.
func TestGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.up(t, m)
	w.host.sh("ip link set dev tap_bara group default")
	if got := w.plan(t, m); len(got) != 1 || got[0] != "ip link set dev tap_bara group 117" {
		t.Errorf("got %q", got)
	}
	w.up(t, m)
	if got := w.plan(t, m); got != nil {
		t.Errorf("Up left %q", got)
	}
	kernel := openTAP(t, w.host, m.TAP)
	defer kernel.Close()
	for name, decide := range map[string]func(*Survey) error{"gc": (*Survey).Garbage, "restore": (*Survey).Rules} {
		w.host.sh("ip link set dev tap_bara group default")
		owner := func(string) Owner { return Owner{Machine: m, Locked: true} }
		if did := w.survey(t, host(), owner, decide); !strings.Contains(did, "ip link set dev tap_bara group 117") {
			t.Errorf("%s did\n%s", name, did)
		}
		if again := w.plan(t, m); again != nil {
			t.Errorf("%s left %q", name, again)
		}
	}
}

// Where the rules stand, none of the programs that could make them is started.
func TestStartsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32", "2001:db8:1::/64")
	w.up(t, m)
	w.in(t, "Down", func() error { return Down(m, host()) })
	for _, l := range w.plan(t, m) {
		if strings.Contains(l, "tables ") || strings.Contains(l, "ipset -exist create") {
			t.Errorf("a start with the rules in place would: %s", l)
		}
	}
}
