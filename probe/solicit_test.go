package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	asked6   = netip.MustParseAddr("fd09::7:1")
	peer6    = netip.MustParseAddr("fd09::2")
	host6    = netip.MustParseAddr("fd09::1")
	allNodes = netip.MustParseAddr("ff02::1")
	zero6    = netip.IPv6Unspecified()
)

func advertise(destination, target netip.Addr, flags uint32) []byte {
	b := discovery{advertisement, flags, peer6, destination, target}.bytes()
	return b[:]
}

func solicit(source, target netip.Addr) []byte {
	b := discovery{solicitation, 0, source, solicitedNode(target), target}.bytes()
	return b[:]
}

// option adds one to a message, and mends length and checksum.
func option(b []byte, option ...byte) []byte {
	b = append(slices.Clone(b), option...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
	return summed(b)
}

func summed(b []byte) []byte {
	b = slices.Clone(b)
	b[42], b[43] = 0, 0
	binary.BigEndian.PutUint16(b[42:], checksum6(b, b[ipv6Header:]))
	return b
}

// cut makes a message say that it is n bytes long, with a checksum that agrees.
func cut(b []byte, n int) []byte {
	b = with(b, 5, byte(n))
	b[42], b[43] = 0, 0
	binary.BigEndian.PutUint16(b[42:], checksum6(b, b[ipv6Header:ipv6Header+n]))
	return b
}

// hopByHop puts an empty extension header before the message.
func hopByHop(b []byte) []byte {
	b = slices.Insert(slices.Clone(b), ipv6Header, unix.IPPROTO_ICMPV6, 0, 1, 4, 0, 0, 0, 0)
	b[6] = unix.IPPROTO_HOPOPTS
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
	return b
}

func TestDiscoveryBytes(t *testing.T) {
	const want = "60 00 00 00 00 18 3a ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" +
		" ff 02 00 00 00 00 00 00 00 00 00 01 ff 07 00 01" +
		" 87 00 7d 8e 00 00 00 00 fd 09 00 00 00 00 00 00 00 00 00 00 00 07 00 01"
	if got := fmt.Sprintf("% x", solicit(zero6, asked6)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseDiscovery(t *testing.T) {
	good := advertise(allNodes, asked6, override)
	for _, test := range []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"advertisement", good, true},
		{"solicitation", solicit(zero6, asked6), true},
		{"with an option", option(good, 2, 1, 2, 0, 0, 0, 0, 10), true},
		{"padded", append(slices.Clone(good), 1, 2, 3), true},
		{"empty", nil, false},
		{"short", good[:63], false},
		{"shorter than it says", with(good, 5, 32), false},
		{"says that it is short", cut(good, 16), false},
		{"odd length", option(good, 1, 1, 1, 1), false},
		{"version", with(good, 0, 4<<4), false},
		{"passed on by a router", with(good, 7, 254), false},
		{"extension header", hopByHop(good), false},
		{"extension header named only", with(good, 6, 0), false},
		{"checksum", with(good, 43, good[43]^1), false},
		{"another target than summed", with(good, 63, 2), false},
		{"code", summed(with(good, 41, 1)), false},
		{"router advertisement", summed(with(good, 40, 134)), false},
	} {
		d, ok := parseDiscovery(test.packet)
		if ok != test.want || ok && d.target != asked6 {
			t.Errorf("%s: got %v, %v, want %v", test.name, d, ok, test.want)
		}
	}
}

func TestDiscoveryShows(t *testing.T) {
	for _, test := range []struct {
		name   string
		packet []byte
		want   string
	}{
		{"answer", advertise(allNodes, asked6, override), "neighbour advertisement true"},
		{"answer for what is published", advertise(allNodes, asked6, 0), "neighbour advertisement (published?) true"},
		{"answer to us", advertise(host6, asked6, override|solicited), "neighbour advertisement true"},
		{"answer to us, to all", advertise(allNodes, asked6, override|solicited), " false"},
		{"rival", solicit(zero6, asked6), "neighbour solicitation true"},
		{"ordinary question", solicit(peer6, asked6), " false"},
	} {
		d, _ := parseDiscovery(test.packet)
		by, ok := d.shows()
		if !ok {
			by = 0
		}
		if got := fmt.Sprint(by, ok); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	d := discovery{solicitation, 0, zero6, allNodes, asked6}
	if _, ok := d.shows(); ok {
		t.Error("a solicitation to all nodes is no duplicate address detection")
	}
}

// What is taken adds up, is built again from what was read of it, and passes the
// kernel's filter if it speaks of a target.
func FuzzND(f *testing.F) {
	good := advertise(allNodes, asked6, override)
	full := netip.MustParseAddr("fd09:1:2:3:4:5:6:7") // no word of it is zero
	for _, b := range [][]byte{nil, good, good[:63], advertise(allNodes, full, override), solicit(zero6, asked6), solicit(peer6, asked6), hopByHop(good),
		option(good, 2, 1, 2, 0, 0, 0, 0, 10), with(good, 7, 254), summed(with(good, 63, 2))} {
		f.Add(b)
	}
	pass := filtered(f, discoveryFilter(targets("fd09::7:1", full.String())))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 64 { // let the fuzzer get past the checksum
			b = summed(b)
		}
		d, ok := parseDiscovery(b)
		if !ok {
			return
		}
		if again := d.bytes(); int(b[5]) == discoverySize && b[4] == 0 &&
			(!slices.Equal(again[4:42], b[4:42]) || !slices.Equal(again[44:], b[44:64])) {
			t.Errorf("% x: again % x", b, again)
		}
		d.shows()
		if (d.target == asked6 || d.target == full) && !pass(b) {
			t.Errorf("% x: filtered out", b)
		}
	})
}
