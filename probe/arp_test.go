package probe

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	macA   = [6]byte{2, 0, 0, 0, 0, 0xa}
	asked4 = netip.MustParseAddr("10.9.7.1")
	other4 = netip.MustParseAddr("10.9.7.2")
	zero4  = netip.IPv4Unspecified()
)

func bytes4(op uint16, sender, requested netip.Addr) []byte {
	b := arp{op, macA, sender, requested}.bytes()
	return b[:]
}

func TestARPBytes(t *testing.T) {
	const want = "00 01 08 00 06 04 00 01 02 00 00 00 00 0a 0a 09 07 02 00 00 00 00 00 00 0a 09 07 01"
	if got := fmt.Sprintf("% x", bytes4(arpRequest, other4, asked4)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseARP(t *testing.T) {
	good := bytes4(arpReply, asked4, host)
	for _, test := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"reply", good, true},
		{"request", bytes4(arpRequest, asked4, host), true},
		{"padded", append(slices.Clone(good), make([]byte, 18)...), true},
		{"empty", nil, false},
		{"short", good[:27], false},
		{"hardware type", with(good, 1, 6), false},
		{"protocol", with(good, 3, 1), false},
		{"length of hardware addresses", with(good, 4, 8), false},
		{"length of protocol addresses", with(good, 5, 16), false},
		{"RARP", with(good, 7, 3), false},
	} {
		a, ok := parseARP(test.frame)
		if ok != test.want || ok && (a.sender != asked4 || a.requested != host || a.mac != macA) {
			t.Errorf("%s: got %v, %v, want %v", test.name, a, ok, test.want)
		}
	}
}

// with is a copy of b with one byte set.
func with(b []byte, at int, value byte) []byte {
	b = slices.Clone(b)
	b[at] = value
	return b
}

func TestARPShows(t *testing.T) {
	for _, test := range []struct {
		name              string
		op                uint16
		sender, requested netip.Addr
		want              string
	}{
		{"answer to a probe", arpReply, asked4, zero4, "10.9.7.1 ARP"},
		{"answer to a request", arpReply, asked4, host, "10.9.7.1 ARP (published?)"},
		{"announcement", arpRequest, asked4, asked4, "10.9.7.1 ARP"},
		{"announcement as reply", arpReply, asked4, asked4, "10.9.7.1 ARP"},
		{"its own question", arpRequest, asked4, host, "10.9.7.1 ARP"},
		{"question for it", arpRequest, host, asked4, "10.9.0.1 ARP"},
		{"probe for it", arpRequest, zero4, asked4, "10.9.7.1 ARP probe"},
	} {
		address, by := arp{test.op, macA, test.sender, test.requested}.shows()
		if got := fmt.Sprint(address, by); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// What parses, prints back to the same bytes but for the address left out; and
// the kernel's filter passes what speaks of a target, and no more.
func FuzzARP(f *testing.F) {
	good := bytes4(arpReply, asked4, host)
	for _, b := range [][]byte{nil, good, good[:27], with(good, 4, 8), bytes4(arpRequest, zero4, asked4),
		bytes4(arpRequest, other4, asked4), append(slices.Clone(good), 1, 2, 3)} {
		f.Add(b)
	}
	pass := filtered(f, arpFilter(targets("10.9.7.1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseARP(b)
		if !ok {
			return
		}
		again := a.bytes()
		copy(again[18:24], b[18:24])
		if !slices.Equal(again[:], b[:arpSize]) {
			t.Errorf("% x: again % x", b, again)
		}
		nobody := a.op == arpReply && a.sender == zero4 // filtered like a probe
		if address, _ := a.shows(); pass(b) != (address == asked4) && !nobody {
			t.Errorf("% x: speaks of %v, passed %v", b, address, pass(b))
		}
	})
}

func targets(s ...string) (all []target) {
	for _, a := range list(s...) {
		all = append(all, target{address: a})
	}
	return all
}

// filtered says of packets whether a filter passes them. A pair of sockets of
// this process is enough to run one in the kernel.
func filtered(t testing.TB, code []unix.SockFilter) func([]byte) bool {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = attach(pair[1], code)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	return func(b []byte) bool {
		if _, err := unix.Write(pair[0], b); err != nil && err != unix.EPERM {
			t.Fatal(err)
		}
		var taken [1]byte
		_, err := unix.Read(pair[1], taken[:])
		return err == nil
	}
}
