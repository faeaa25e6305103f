package radvd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// fade is how long a prefix that went is still advertised, and the lifetime that it
// is then given: hosts heed no shorter one (RFC 4862 5.5.3 e).
const fade = 2 * time.Hour

// maxGone bounds the prefixes that fade on one interface: an advertisement must fit
// into one frame, since hosts drop fragments (RFC 6980). 32 bytes each.
const maxGone = 32

// A section is what is advertised on one interface.
type section struct {
	tap     string
	machine string       // whose it is, or was
	prefix  netip.Prefix // the zero Prefix: none any more
	gone    []gone       // by time, then prefix
}

// gone is a prefix that its guest is to stop using.
type gone struct {
	prefix netip.Prefix
	until  time.Time
}

// String is the section as radvd reads it. Intervals and lifetimes are radvd's own:
// a guest that boots asks, and is answered at once; a change is told by SIGHUP; so
// the ten minutes between two advertisements are only for those that got lost.
//
// A link whose last prefix goes has no default router any more: a guest would else
// go on using its deprecated address, having no other.
func (s *section) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "interface %s { # %s\n\tAdvSendAdvert on;\n\tIgnoreIfMissing on;\n", s.tap, s.machine)
	if s.prefix.IsValid() {
		fmt.Fprintf(&b, "\tprefix %v { };\n", s.prefix)
	} else {
		b.WriteString("\tAdvDefaultLifetime 0;\n")
	}
	for _, g := range s.gone {
		fmt.Fprintf(&b, "\tprefix %v { AdvPreferredLifetime 0; AdvValidLifetime %d; }; %s%s\n",
			g.prefix, int(fade.Seconds()), until, g.until.UTC().Format(time.RFC3339))
	}
	b.WriteString("};\n")
	return b.String()
}

const until = "# until "

// empty says whether there is nothing to advertise.
func (s *section) empty() bool { return !s.prefix.IsValid() && len(s.gone) == 0 }

// become gives the section another prefix, or none, and has the old one fade.
func (s *section) become(p netip.Prefix, now time.Time) {
	if s.prefix.IsValid() && s.prefix != p {
		s.gone = append(s.gone, gone{s.prefix, now.Add(fade)})
	}
	s.prefix = p
	s.age(now)
}

// age drops what has faded, and what is back. No time is further off than a fade:
// a clock that was set back would else keep a prefix for as long.
func (s *section) age(now time.Time) {
	end := now.Add(fade).Truncate(time.Second).UTC()
	var left []gone
	for _, g := range s.gone {
		if g.until.After(end) {
			g.until = end
		}
		if g.prefix != s.prefix && g.until.After(now) {
			left = append(left, g)
		}
	}
	slices.SortFunc(left, func(a, b gone) int {
		if c := a.until.Compare(b.until); c != 0 {
			return c
		}
		return a.prefix.Compare(b.prefix)
	})
	s.gone = left[max(0, len(left)-maxGone):]
}
