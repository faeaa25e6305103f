package netsetup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"uml/guard"
)

// Filtered is what the filter has of a guest.
type Filtered struct {
	Addresses []netip.Addr // the guest's, if it is whole
	Packets   uint64       // dropped since its addresses were last set
	Bytes     uint64
}

func (l *look) completeBridged(s *State) error {
	t := l.tap.link
	if t == nil {
		return nil
	}
	if t.Master != 0 {
		bridge, err := l.linkAt(t.Master)
		if err != nil {
			return err
		}
		if bridge != nil {
			s.Bridge = bridge.Name
		}
	}
	if t.LinkGroup != guard.Group {
		return nil
	}
	f, err := l.guard()
	if err != nil {
		return err
	}
	r, err := f.Record(t.Name)
	if err != nil || r == nil {
		return err
	}
	g := identity(l.m)
	s.Filtered = &Filtered{slices.Concat(g.IP4, g.IP6), r.Packets, r.Bytes}
	return nil
}

// bridged are the lines of a guest on a bridge.
func (s *State) bridged() string {
	var b strings.Builder
	if s.Bridge != "" {
		fmt.Fprintf(&b, "bridged: on %s\n", s.Bridge)
	}
	if f := s.Filtered; f != nil {
		for _, a := range f.Addresses {
			fmt.Fprintf(&b, "own: %v\n", a)
		}
		fmt.Fprintf(&b, "dropped: %d packets, %d bytes, not from its own addresses\n", f.Packets, f.Bytes)
	}
	return b.String()
}

// FilterTable is the table of nftables that holds bridged guests to their addresses.
const FilterTable = guard.Table

// A FilterState is what the filter is as a whole.
type FilterState struct {
	Amiss   string   // what of its rules is not as it must be; "" for nothing
	Held    int      // TAPs that it knows
	Altered []string // those whose elements are not what was last set
}

// LookFilter lists the whole of it, which no start does.
func LookFilter() (*FilterState, error) {
	f, err := guard.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &FilterState{}
	if s.Amiss, err = f.Amiss(); err != nil {
		return nil, err
	}
	known, altered, err := f.Known()
	s.Held, s.Altered = len(known), altered
	return s, err
}
