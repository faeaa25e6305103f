package guard

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// An element of one of the sets, its key as the kernel has it: an interface's name
// in 16 bytes, and each further part filled up to a multiple of 4.
type element struct {
	set string
	key string
}

const ifname = 16 // IFNAMSIZ

func key(tap string, parts ...[]byte) string {
	b := make([]byte, ifname)
	copy(b, tap)
	for _, p := range parts {
		b = append(b, p...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return string(b)
}

func (e element) tap() string { return strings.TrimRight(e.key[:ifname], "\x00") }

// String is the element as nft(8) writes it.
func (e element) String() string {
	b := []byte(e.key[ifname:])
	if e.set == speaks && len(b) == 12 {
		kind := binary.BigEndian.Uint16(b[8:])
		name := map[uint16]string{typeIP4: "ip", typeARP: "arp", typeIP6: "ip6"}[kind]
		if name == "" {
			name = fmt.Sprintf("%#04x", kind)
		}
		return fmt.Sprintf("%q . %v . %s", e.tap(), net.HardwareAddr(b[:6]), name)
	}
	if a, ok := netip.AddrFromSlice(b); ok {
		return fmt.Sprintf("%q . %v", e.tap(), a)
	}
	return fmt.Sprintf("%q", e.tap())
}

// elements are the guest's, but for its record.
func (g Guest) elements() (all []element) {
	speak := func(kind uint16) {
		all = append(all, element{speaks, key(g.TAP, g.MAC, binary.BigEndian.AppendUint16(nil, kind))})
	}
	if len(g.IP4) > 0 {
		speak(typeIP4)
		speak(typeARP)
	}
	if len(g.IP6) > 0 {
		speak(typeIP6)
	}
	for _, a := range g.IP4 {
		all = append(all, element{owns4, key(g.TAP, a.AsSlice())})
	}
	for _, a := range g.IP6 {
		all = append(all, element{owns6, key(g.TAP, a.AsSlice())})
	}
	return all
}

// comment is that of the guest's record, the element that counts its drops. It
// tells these elements from any others, so that one look shows whether the settings
// have changed since.
func comment(of []element) string {
	of = slices.Clone(of)
	slices.SortFunc(of, compare)
	h := sha256.New()
	for _, e := range of {
		fmt.Fprintf(h, "%s %q\n", e.set, e.key)
	}
	return fmt.Sprintf("addresses %x", h.Sum(nil)[:12])
}

func compare(a, b element) int {
	return cmp.Or(strings.Compare(a.set, b.set), strings.Compare(a.key, b.key))
}

// A difference is what a guest's elements lack, and what there is too much.
type difference struct {
	add, remove []element
	record      bool // the guest's record is to be made anew
	comment     string
}

func differ(is []element, recorded string, want []element) (d difference) {
	d.comment = comment(want)
	d.record = recorded != d.comment
	d.add, d.remove = without(want, is), without(is, want)
	slices.SortFunc(d.remove, compare) // the kernel lists them by chance
	return d
}

func without(all, those []element) (rest []element) {
	not := make(map[element]bool, len(those))
	for _, e := range those {
		not[e] = true
	}
	for _, e := range all {
		if !not[e] {
			rest = append(rest, e)
		}
	}
	return rest
}

// lines are the changes as commands of nft(8), which the kernel makes in one.
func (d difference) lines(tap string, recorded bool) (lines []string) {
	list := func(verb, set, elements string) {
		lines = append(lines, fmt.Sprintf("%s element bridge %s %s { %s }", verb, Table, set, elements))
	}
	if d.record && recorded {
		list("delete", guests, fmt.Sprintf("%q", tap))
	}
	for _, set := range []string{speaks, owns4, owns6} {
		if s := ofSet(d.remove, set); s != "" {
			list("delete", set, s)
		}
	}
	if d.record {
		list("add", guests, fmt.Sprintf("%q comment %q", tap, d.comment))
	}
	for _, set := range []string{speaks, owns4, owns6} {
		if s := ofSet(d.add, set); s != "" {
			list("add", set, s)
		}
	}
	return lines
}

func ofSet(all []element, set string) string {
	var list []string
	for _, e := range all {
		if e.set == set {
			list = append(list, e.String())
		}
	}
	return strings.Join(list, ", ")
}
