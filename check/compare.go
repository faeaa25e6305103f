package check

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"uml/fault"
	"uml/settings"
)

// compare finds what two machines both have and only one may. A start sees of it
// what one look of its own shows; this is the whole. Each machine concerned is
// told, with the others' names.
func (c *checker) compare() {
	var all []*machine
	for _, m := range c.machines {
		if m.Machine != nil {
			all = append(all, m)
		}
	}
	shared(all, "user", func(m *machine) (int, string) {
		u := m.Machine.User
		return u.UID, fmt.Sprintf("user id %d (%s)", u.UID, u.Name)
	}, "give each an account of its own: settings/user")
	sharedDiscs(all)
	all = slices.DeleteFunc(all, func(m *machine) bool { return m.Machine.Net.Kind == settings.None })
	shared(all, "mac", func(m *machine) (string, string) {
		return m.Machine.MAC.String(), "hardware address " + m.Machine.MAC.String()
	}, "give one another: settings/mac")
	shared(all, "tap", func(m *machine) (string, string) {
		return m.Machine.TAP, "TAP " + m.Machine.TAP
	}, "give one another: settings/tap")
	overlaps(all)
}

// shared tells machines of which key returns the same.
func shared[K comparable](all []*machine, check string, key func(*machine) (K, string), mend string) {
	groups := map[K][]*machine{}
	for _, m := range all {
		k, _ := key(m)
		groups[k] = append(groups[k], m)
	}
	for _, m := range all {
		k, what := key(m)
		if others := without(groups[k], m); len(others) > 0 {
			m.fail(check, fault.Permanent("%s: %s has it too (%s)", what, few(others), mend))
		}
	}
}

func without(group []*machine, m *machine) []*machine {
	if len(group) < 2 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(group), func(o *machine) bool { return o == m })
}

// String is the machine in a list.
func (m *machine) String() string { return m.Name }

// sharedDiscs compares files, not names. Several may read one; a disc that
// somebody writes is nobody else's.
func sharedDiscs(all []*machine) {
	type use struct {
		m        *machine
		readOnly bool
	}
	users := map[[2]uint64][]use{}
	for _, m := range all {
		for _, d := range m.Discs {
			id := [2]uint64{d.Dev, d.Ino}
			users[id] = append(users[id], use{m, d.ReadOnly})
		}
	}
	for _, m := range all {
		for _, d := range m.Discs {
			var others []*machine
			for _, u := range users[[2]uint64{d.Dev, d.Ino}] {
				if u.m != m && !(u.readOnly && d.ReadOnly) && !slices.Contains(others, u.m) {
					others = append(others, u.m)
				}
			}
			if len(others) > 0 {
				m.fail("disc", fault.Permanent("%s: %s has the same file, and not both only read it (give one its own: settings/ubd0 to ubd7, or flags=r in all)", d.Path, few(others)))
			}
		}
	}
}

// A claim is a prefix that a machine has.
type claim struct {
	netip.Prefix
	m *machine
}

// overlaps goes through all prefixes in the order of their addresses, larger ones
// first: two of them are apart, or one lies in the other, so those that a prefix
// lies in are on the stack.
func overlaps(all []*machine) {
	var claims []claim
	for _, m := range all {
		for _, p := range m.Machine.Claimed() {
			claims = append(claims, claim{p, m})
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var around []claim
	for _, in := range claims {
		for len(around) > 0 && !around[len(around)-1].Overlaps(in.Prefix) {
			around = around[:len(around)-1]
		}
		for _, out := range around[max(0, len(around)-atMost):] {
			if out.m != in.m {
				tell(out, in)
				tell(in, out)
			}
		}
		around = append(around, in)
	}
}

// atMost keeps a mistake that all of 1,000 machines share from filling a screen a
// machine.
const atMost = 8

func tell(c, other claim) {
	file := "ip4"
	if c.Addr().Is6() {
		file = "ip6"
	}
	text := fmt.Sprintf("%v: %s has it too", c.Prefix, other.m.Name)
	if c.Prefix != other.Prefix {
		text = fmt.Sprintf("%v: %s has %v, which overlaps", c.Prefix, other.m.Name, other.Prefix)
	}
	if slices.ContainsFunc(c.m.lines, func(l Line) bool { return l.Check == "addresses" && strings.HasPrefix(l.Text, text) }) {
		return
	}
	c.m.fail("addresses", fault.Permanent("%s (take it out of one of the two: settings/%s)", text, file))
}
