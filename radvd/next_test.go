package radvd

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uml/fault"
	"uml/settings"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	one = "2001:db8:0:1::/64"
	two = "2001:db8:0:2::/64"
)

// said are sections as a line each: "tap_a a PREFIX, PREFIX until HH:MM".
func said(sections []section) string {
	var lines []string
	for _, s := range sections {
		words := []string{s.tap, s.machine}
		if s.prefix.IsValid() {
			words = append(words, s.prefix.String())
		}
		for _, g := range s.gone {
			words = append(words, "not", g.prefix.String(), g.until.Format("15:04"))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n")
}

func had(tap, machine, prefix string, faded ...gone) section {
	s := section{tap: tap, machine: machine, gone: faded}
	if prefix != "" {
		s.prefix = netip.MustParsePrefix(prefix)
	}
	return s
}

func has(machine, tap, prefix string) link {
	return link{machine: machine, Link: settings.Link{TAP: tap, IP6: netip.MustParsePrefix(prefix)}}
}

func fading(prefix string, until time.Duration) gone {
	return gone{netip.MustParsePrefix(prefix), noon.Add(until)}
}

func TestNext(t *testing.T) {
	bad := link{machine: "a", err: fault.Permanent("bad")}
	for _, c := range []struct {
		name   string
		have   []section
		links  []link
		taken  string
		want   string
		faults string
	}{
		{name: "nothing"},
		{name: "without", links: []link{{machine: "a"}}},
		{name: "new", links: []link{has("b", "tap_b", two), has("a", "tap_a", one)}, want: "tap_a a " + one + "\ntap_b b " + two},
		{name: "same", have: []section{had("tap_a", "a", one)}, links: []link{has("a", "tap_a", one)}, want: "tap_a a " + one},
		{name: "another prefix", have: []section{had("tap_a", "a", one)}, links: []link{has("a", "tap_a", two)}, want: "tap_a a " + two + " not " + one + " 14:00"},
		{name: "away", have: []section{had("tap_a", "a", one)}, want: "tap_a a not " + one + " 14:00"},
		{name: "no prefix", have: []section{had("tap_a", "a", one)}, links: []link{{machine: "a"}}, want: "tap_a a not " + one + " 14:00"},
		{name: "fades", have: []section{had("tap_a", "a", "", fading(one, time.Minute))}, want: "tap_a a not " + one + " 12:01"},
		{name: "faded", have: []section{had("tap_a", "a", "", fading(one, 0))}},
		{name: "faded beside", have: []section{had("tap_a", "a", two, fading(one, -time.Minute))}, links: []link{has("a", "tap_a", two)}, want: "tap_a a " + two},
		{name: "back", have: []section{had("tap_a", "a", "", fading(one, time.Minute))}, links: []link{has("a", "tap_a", one)}, want: "tap_a a " + one},
		{name: "there and back", have: []section{had("tap_a", "a", two, fading(one, time.Minute))}, links: []link{has("a", "tap_a", one)}, want: "tap_a a " + one + " not " + two + " 14:00"},
		{name: "clock set back", have: []section{had("tap_a", "a", "", fading(one, 100*time.Hour))}, want: "tap_a a not " + one + " 14:00"},
		{name: "another TAP", have: []section{had("tap_a", "a", one)}, links: []link{has("a", "tap_z", one)}, want: "tap_a a not " + one + " 14:00\ntap_z a " + one},
		{name: "another machine's TAP", have: []section{had("tap_a", "a", one)}, links: []link{has("b", "tap_a", two)}, want: "tap_a b " + two + " not " + one + " 14:00"},

		{name: "fault", have: []section{had("tap_a", "a", one, fading(two, time.Minute)), had("tap_b", "b", two)}, links: []link{bad},
			want: "tap_a a " + one + " not " + two + " 12:01\ntap_b b not " + two + " 14:00", faults: "a is advertised as before: bad"},
		{name: "fault of a new one", links: []link{bad, has("b", "tap_b", two)}, want: "tap_b b " + two, faults: "a is advertised as before: bad"},
		{name: "wants what one at fault has", have: []section{had("tap_a", "a", one)}, links: []link{bad, has("b", "tap_a", two), has("c", "tap_c", two)},
			want: "tap_a a " + one + "\ntap_c c " + two, faults: "a is advertised as before: bad\nb is advertised as before: tap_a: is still advertised for a, which has a fault"},
		{name: "and so on", have: []section{had("tap_a", "a", one), had("tap_b", "b", two)}, links: []link{bad, has("b", "tap_a", two), has("c", "tap_b", one)},
			want: "tap_a a " + one + "\ntap_b b " + two, faults: "a is advertised as before: bad\nb is advertised as before: tap_a: is still advertised for a, which has a fault\nc is advertised as before: tap_b: is still advertised for b, which has a fault"},
		{name: "one TAP for two", have: []section{had("tap_b", "b", two)}, links: []link{has("a", "tap_b", one), has("b", "tap_b", two)}, want: "tap_b b " + two,
			faults: "a is advertised as before: tap_b: another machine has this TAP too (give one another: settings/tap)\nb is advertised as before: tap_b: another machine has this TAP too (give one another: settings/tap)"},
		{name: "the administrator's", have: []section{had("tap_a", "a", one)}, links: []link{has("a", "tap_a", one), has("b", "tap_b", two)}, taken: "tap_a", want: "tap_b b " + two,
			faults: "a is advertised as before: tap_a: the administrator's part of the file configures it too (take it out there)"},
		{name: "a word of radvd", links: []link{has("a", "Prefix", one), has("b", "tap_b", two)}, want: "tap_b b " + two,
			faults: `a is advertised as before: radvd cannot be told of an interface named "Prefix" (give it another name: settings/tap)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, faults := next(c.have, c.links, map[string]bool{c.taken: true}, noon)
			if s := said(got); s != c.want {
				t.Errorf("got\n%s\nwant\n%s", s, c.want)
			}
			err := errors.Join(faults...)
			if err == nil && c.faults != "" || err != nil && err.Error() != c.faults {
				t.Errorf("got\n%v\nwant\n%s", err, c.faults)
			}
			if err != nil && fault.Code(err) != fault.MayPass {
				t.Errorf("exit %d", fault.Code(err))
			}
		})
	}
}

// An advertisement with more prefixes than fit into a frame would be heard by none.
func TestManyGone(t *testing.T) {
	s := had("tap_a", "a", "2001:db8:1::/64")
	for i := range 200 {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 2, byte(i)}), 64)
		s.become(p, noon.Add(time.Duration(i)*time.Second))
	}
	if len(s.gone) != maxGone || s.gone[maxGone-1].prefix.String() != "2001:db8:2c6::/64" {
		t.Errorf("got %d, the last %v", len(s.gone), s.gone[len(s.gone)-1])
	}
}
