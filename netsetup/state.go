package netsetup

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"uml/firewall"
	"uml/settings"
)

// A State is what is there of a machine's network.
type State struct {
	TAP       string
	Machine   string // directory, by the TAP's alias; only of a survey
	Exists    bool
	Owner     int  // user id; -1: none
	Up        bool // by the administrator's hand
	Opened    bool // by a process: the guest's kernel
	External  string
	Routes    []netip.Prefix // ours to the TAP
	Published []netip.Addr   // on External
	Bridge    string         // that the TAP is a port of
	Filtered  *Filtered      // nil: no filter holds the guest
	Forged    []firewall.Source
	OnLink    []netip.Addr // of IPv6, that External's link looks for there: see onLink
	Missing   []string     // commands that would give what is not there
	Surplus   []string     // commands that would take away what should not be
}

// Look looks, changing nothing. What Up would refuse is its error.
func Look(m *settings.Machine, h *settings.Host) (*State, error) {
	l, err := lookAt(m, h)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.state()
}

// LookForeign is Look and Foreign in one; both errors are joined.
func LookForeign(m *settings.Machine, h *settings.Host) (*State, error) {
	l, err := lookAt(m, h)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	s, err := l.state()
	return s, errors.Join(err, l.foreigns())
}

func (l *look) state() (*State, error) {
	s := &State{TAP: l.m.TAP, Owner: -1}
	if t := l.tap; t.link != nil {
		s.Exists, s.Owner, s.Up, s.Opened = true, t.Owner, t.up(), t.opened()
		for _, r := range t.routes {
			s.Routes = append(s.Routes, r.to)
		}
	}
	if l.ext != nil {
		s.External = l.ext.Name
	}
	if err := l.completeBridged(s); err != nil {
		return nil, err
	}
	return s, l.complete(s)
}

func (l *look) complete(s *State) error {
	claims, err := l.claims()
	if err != nil {
		return err
	}
	for _, k := range claims {
		s.Published = append(s.Published, k.addr)
	}
	if s.OnLink, err = l.onLink(); err != nil {
		return err
	}
	steps, err := l.up()
	for _, p := range steps {
		if p.Takes {
			s.Surplus = append(s.Surplus, p.short())
		} else {
			s.Missing = append(s.Missing, p.short())
		}
	}
	if err == nil && s.Exists {
		var all map[string][]firewall.Source
		all, err = firewall.Forged()
		s.Forged = all[s.TAP]
	}
	return err
}

// Whole says whether all is as the settings have it.
func (s *State) Whole() bool { return len(s.Missing)+len(s.Surplus) == 0 }

// String is a few lines for a person.
func (s *State) String() string {
	var b strings.Builder
	switch {
	case !s.Exists:
		fmt.Fprintf(&b, "%s: not there\n", s.TAP)
	default:
		of := ""
		if s.Machine != "" {
			of = " of " + s.Machine
		}
		fmt.Fprintf(&b, "%s%s: user id %d, %s, %s\n", s.TAP, of, s.Owner, either(s.Up, "up", "down"), either(s.Opened, "guest on it", "no guest on it"))
	}
	for _, p := range s.Routes {
		fmt.Fprintf(&b, "routed: %v\n", p)
	}
	for _, a := range s.Published {
		fmt.Fprintf(&b, "published: %v on %s\n", a, s.External)
	}
	b.WriteString(s.bridged())
	if len(s.Forged) > 0 {
		fmt.Fprintf(&b, "forged, and dropped: %s\n", firewall.Summary(s.Forged))
	}
	for _, t := range s.Missing {
		fmt.Fprintf(&b, "missing: %s\n", t)
	}
	for _, t := range s.Surplus {
		fmt.Fprintf(&b, "too much: %s\n", t)
	}
	return b.String()
}

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
