package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"uml/netsetup"
	"uml/settings"
)

// A host is a network namespace with guests, and one beside it that swallows what
// they send.
type host struct {
	ns, wire int
	guests   int
	tap      *os.File // of the last guest that has one
	last     *settings.Machine
	times    []float64 // of packets, ns
}

func newHost(guests int) (*host, error) {
	h := &host{ns: -1, wire: -1, guests: guests}
	var err error
	if h.ns, err = newSpace(); err == nil {
		h.wire, err = newSpace()
	}
	if err == nil {
		err = h.sh(h.wire, `ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d; ip link set eth0 address 02:00:00:00:00:02 up`, os.Getpid(), h.ns)
	}
	if err == nil {
		err = h.sh(h.ns, `ip link set lo up; ip addr add 192.0.2.1/24 dev eth0; ip -6 addr add 2001:db8::1/64 dev eth0 nodad; ip link set eth0 up
			ip neigh add 192.0.2.254 dev eth0 lladdr 02:00:00:00:00:02; ip route add default via 192.0.2.254`)
	}
	return h, err
}

func (h *host) close() {
	if h.tap != nil {
		h.tap.Close()
	}
	unix.Close(h.ns)
	unix.Close(h.wire)
}

func newSpace() (fd int, err error) {
	fd = -1
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	})
	return fd, err
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

// in does something on a thread in the host's namespace.
func (h *host) in(ns int, do func() error) (err error) {
	onThread(func() {
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err == nil {
			err = do()
		}
	})
	return err
}

func (h *host) sh(ns int, script string, args ...any) error {
	return h.in(ns, func() error {
		out, err := exec.Command("sh", "-ec", fmt.Sprintf(script, args...)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// batch gives ip(8) many lines at once.
func (h *host) batch(lines []string) error {
	return h.in(h.ns, func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip -batch: %w\n%s", err, out)
		}
		return nil
	})
}

// machine is guest number n.
func machine(n int) *settings.Machine {
	a := address(n)
	b := a.As4()
	name := fmt.Sprintf("m%d", n)
	return &settings.Machine{
		Real: "/machines/" + name, Name: name, TAP: "tap_" + name,
		User: settings.Account{Name: name, UID: 2000 + n, GID: 2000 + n},
		MAC:  net.HardwareAddr{0xfe, 0xfd, b[0], b[1], b[2], b[3]},
		Net:  settings.Net{Kind: settings.Routed},
		IP4:  []netip.Prefix{netip.PrefixFrom(a, 32)},
		IP6:  []netip.Prefix{prefix(n)},
	}
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}) }

func prefix(n int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("2001:db8:1:%x::/64", n))
}

var hostSettings = &settings.Host{Dir: "/etc/uml-run", External: "eth0", Publish: true}

// suite gives real guests their network by the suite, and the rest what the kernel
// has to look up.
func (h *host) suite(real int) error {
	err := h.in(h.ns, func() error {
		for n := range real {
			if _, err := netsetup.Up(context.Background(), machine(n), hostSettings); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var lines []string
	for n := real; n < h.guests; n++ {
		tap := machine(n % real).TAP
		lines = append(lines,
			fmt.Sprintf("route add %v dev %s proto %d", address(n), tap, netsetup.Protocol),
			fmt.Sprintf("route add %v dev %s proto %d", prefix(n), tap, netsetup.Protocol),
			fmt.Sprintf("neigh add proxy %v dev eth0 protocol %d", address(n), netsetup.Protocol))
	}
	if err := h.batch(lines); err != nil {
		return err
	}
	return h.open(machine(real - 1))
}

// bare is a TAP made by hand, with a route and no rule.
func (h *host) bare() error { return h.byHand(h.guests) }

// paper is the paper's way: two rules a guest in FORWARD (3.3).
func (h *host) paper() error {
	if err := h.byHand(h.guests); err != nil {
		return err
	}
	rules := []string{"*filter", ":FORWARD DROP"}
	for n := range h.guests {
		m := machine(n)
		rules = append(rules, fmt.Sprintf("-A FORWARD -i %s -s %v -j ACCEPT", m.TAP, address(n)), fmt.Sprintf("-A FORWARD -o %s -d %v -j ACCEPT", m.TAP, address(n)))
	}
	return h.in(h.ns, func() error {
		cmd := exec.Command("iptables-restore")
		cmd.Stdin = strings.NewReader(strings.Join(append(rules, "COMMIT", ""), "\n"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables-restore: %w\n%s", err, out)
		}
		return nil
	})
}

func (h *host) byHand(guests int) error {
	var lines []string
	for n := range guests {
		m := machine(n)
		lines = append(lines, "tuntap add dev "+m.TAP+" mode tap", fmt.Sprintf("link set dev %s address %v up", m.TAP, m.HostMAC()), fmt.Sprintf("route add %v dev %s", address(n), m.TAP))
	}
	if err := h.batch(lines); err != nil {
		return err
	}
	if err := h.sh(h.ns, "sysctl -qw net.ipv4.ip_forward=1"); err != nil {
		return err
	}
	return h.open(machine(guests - 1))
}

// open takes the guest's end of the TAP.
func (h *host) open(m *settings.Machine) error {
	h.last = m
	return h.in(h.ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		h.tap = os.NewFile(uintptr(fd), m.TAP)
		r, err := unix.NewIfreq(m.TAP)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	})
}
