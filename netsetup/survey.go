package netsetup

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"uml/firewall"
	"uml/guard"
	"uml/settings"
)

// An Owner is whom a TAP serves, by what the TAP's alias says.
type Owner struct {
	Gone    bool              // there is no such machine any more
	Machine *settings.Machine // nil if it is gone, or its settings cannot be read
	Locked  bool              // a process holds its lock
}

// A Survey is what of ours there is on the host, of all machines: three lists of the
// kernel's, each read once whatever the number of guests.
type Survey struct {
	*conn
	h       *settings.Host
	owner   func(alias string) Owner
	ext     *link // nil: none now, so what is published stays where it is
	onLink6 []fact

	proxies []proxied
	routes  []fact
	ours    map[int]*owned  // by index
	open    map[string]bool // aliases of which a process has the TAP or the beacon open
	forged  map[string][]firewall.Source

	names    map[int]string
	all      []*link
	filtered map[string]guard.Record // by TAP
	altered  []string                // TAPs whose elements are not what was last set

	steps []Step
	taken []netip.Addr // unpublished by steps
	fresh []netip.Addr // published by steps
	given []netip.Addr // those that were
	Notes []string     // what gc leaves alone though nobody owns it
}

// owned is a TAP or a beacon with its owner.
type owned struct {
	*link
	Owner
	routes []fact
}

// TakeSurvey looks, changing nothing.
func TakeSurvey(h *settings.Host, owner func(alias string) Owner) (*Survey, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	s := &Survey{conn: c, h: h, owner: owner, ours: map[int]*owned{}, open: map[string]bool{}}
	if err := s.find(); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// find reads in the order in which a release takes away: what is seen published has
// its route in the list that is read later, if it is not being released.
func (s *Survey) find() (err error) {
	s.findExternal()
	if s.proxies, err = s.conn.proxies(); err != nil {
		return err
	}
	if err := s.findRoutes(); err != nil {
		return err
	}
	if err := s.findFilter(); err != nil {
		return err
	}
	links, err := s.links()
	if err != nil {
		return err
	}
	s.all, s.names = links, map[int]string{}
	for _, l := range links {
		s.names[l.Index] = l.Name
		if l.Kind == "tun" && marked(l) {
			s.ours[l.Index] = &owned{link: l, Owner: s.owner(l.Alias)}
			s.open[l.Alias] = s.open[l.Alias] || l.opened()
		}
	}
	for _, f := range s.routes {
		if o := s.ours[f.index]; o != nil {
			o.routes = append(o.routes, f)
		}
	}
	s.forged, err = firewall.Forged()
	return err
}

// findExternal takes no tunnel for the network, though the default route may lead
// there for a while, nor a guest: nobody asks there for hardware addresses.
func (s *Survey) findExternal() {
	s.ext, _ = s.external(s.h)
	if e := s.ext; e != nil && s.h.External == "" && (e.Kind == "tun" || len(e.MAC) != 6) {
		s.ext = nil
	}
}

func (s *Survey) findRoutes() error {
	families := []uint8{unix.AF_INET}
	if ipv6() {
		families = append(families, unix.AF_INET6)
	}
	for _, family := range families {
		all, err := s.table(family, 0)
		if err != nil {
			return err
		}
		for _, f := range all {
			switch {
			case f.protocol == Protocol:
				s.routes = append(s.routes, f)
			case family == unix.AF_INET6 && s.ext != nil && f.index == s.ext.Index && f.isLink():
				s.onLink6 = append(s.onLink6, f)
			}
		}
	}
	return nil
}

func (s *Survey) sorted() []*owned {
	var all []*owned
	for _, o := range s.ours {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *owned) int { return a.Index - b.Index })
	return all
}

// owners finds the owner of an address by the routes of ours, of which one that
// leads to a TAP goes before one to a beacon.
func (s *Survey) owners() func(netip.Addr) *owned {
	to := map[netip.Prefix]*owned{}
	var sizes []int
	for _, o := range s.ours {
		for _, f := range o.routes {
			if old := to[f.to]; old == nil || o.TAP {
				to[f.to] = o
			}
			if n := f.to.Bits(); !slices.Contains(sizes, n) {
				sizes = append(sizes, n)
			}
		}
	}
	slices.Sort(sizes)
	return func(a netip.Addr) *owned {
		for _, n := range slices.Backward(sizes) {
			if p, err := a.Prefix(n); err == nil && to[p] != nil {
				return to[p]
			}
		}
		return nil
	}
}

// States are of all TAPs of ours, by name: what Look says of one machine, but for what
// its settings would have otherwise.
func (s *Survey) States() (all []State) {
	published := map[*owned][]netip.Addr{}
	owner := s.owners()
	for _, p := range s.proxies {
		if o := owner(p.addr); o != nil && s.ext != nil && p.index == s.ext.Index {
			published[o] = append(published[o], p.addr)
		}
	}
	for _, o := range s.sorted() {
		if !o.TAP {
			continue
		}
		t := State{TAP: o.Name, Machine: MachineOf(o.Alias), Exists: true, Owner: o.link.Owner, Up: o.up(), Opened: o.opened(), Published: published[o], Forged: s.forged[o.Name]}
		if t.Bridge = s.names[o.Master]; t.Bridge != "" && o.LinkGroup == guard.Group {
			r := s.filtered[o.Name]
			t.Filtered = &Filtered{Packets: r.Packets, Bytes: r.Bytes}
		}
		if s.ext != nil {
			t.External = s.ext.Name
		}
		for _, f := range o.routes {
			t.Routes = append(t.Routes, f.to)
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b State) int { return cmp.Compare(a.TAP, b.TAP) })
	return all
}
