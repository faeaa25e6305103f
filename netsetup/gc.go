package netsetup

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// An Owner is whom a TAP serves, by what the TAP's alias says.
type Owner struct {
	Gone    bool              // there is no such machine any more
	Machine *settings.Machine // nil if it is gone, or its settings cannot be read
	Locked  bool              // a process holds its lock
}

// Garbage is what of ours on the host no machine owns, and what running guests have
// lost: three lists of the kernel's, each read once whatever the number of guests.
type Garbage struct {
	*conn
	h       *settings.Host
	ext     *link // nil: none now, so what is published stays where it is
	onLink6 []fact

	proxies []proxied
	routes  []fact
	ours    map[int]*owned // by index

	steps []Step
	taken []netip.Addr // unpublished by steps
	fresh []netip.Addr // published by steps
	Notes []string     // what is left alone though nobody owns it
}

// owned is a TAP or a beacon with its owner.
type owned struct {
	*link
	Owner
	routes []fact
}

// runs says whether the guest is up, or about to be.
func (o *owned) runs() bool { return o.opened() || o.Locked }

// FindGarbage looks, changing nothing.
func FindGarbage(h *settings.Host, owner func(alias string) Owner) (*Garbage, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	g := &Garbage{conn: c, h: h, ours: map[int]*owned{}}
	if err := g.find(owner); err != nil {
		c.Close()
		return nil, err
	}
	return g, nil
}

// find reads in the order in which a release takes away: what is seen published has
// its route in the list that is read later, if it is not being released.
func (g *Garbage) find(owner func(string) Owner) (err error) {
	g.ext, _ = g.external(g.h)
	if g.proxies, err = g.conn.proxies(); err != nil {
		return err
	}
	if err := g.findRoutes(); err != nil {
		return err
	}
	links, err := g.links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Kind == "tun" && marked(l) {
			g.ours[l.Index] = &owned{link: l, Owner: owner(l.Alias)}
		}
	}
	g.decide(links)
	return g.restoreRules()
}

func (g *Garbage) findRoutes() error {
	families := []uint8{unix.AF_INET}
	if ipv6() {
		families = append(families, unix.AF_INET6)
	}
	for _, family := range families {
		all, err := g.table(family, 0)
		if err != nil {
			return err
		}
		for _, f := range all {
			switch {
			case f.protocol == Protocol:
				g.routes = append(g.routes, f)
			case family == unix.AF_INET6 && g.ext != nil && f.index == g.ext.Index && f.isLink():
				g.onLink6 = append(g.onLink6, f)
			}
		}
	}
	return nil
}

func (g *Garbage) decide(links []*link) {
	names := map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
	}
	for _, f := range g.routes {
		if o := g.ours[f.index]; o != nil {
			o.routes = append(o.routes, f)
			continue
		}
		g.steps = append(g.steps, Step{f.text("del", names[f.index]), true, func(c *conn) error {
			return gone(c.RouteDel(f.netlink(f.index)))
		}})
	}
	g.unpublish(names)
	for _, o := range g.sorted() {
		switch {
		case o.Gone && o.opened():
			g.Notes = append(g.Notes, fmt.Sprintf("%v: is open, though there is no such machine (end the process that has it)", o.link))
		case o.Gone:
			g.steps = append(g.steps, remove(o.link))
		}
	}
	g.putBack()
}

func (g *Garbage) sorted() []*owned {
	var all []*owned
	for _, o := range g.ours {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *owned) int { return a.Index - b.Index })
	return all
}

// unpublish: an address is owned by the machine whose TAP its route leads to.
func (g *Garbage) unpublish(names map[int]string) {
	owners := g.owners()
	for _, p := range g.proxies {
		if p.protocol != Protocol || g.owns(owners(p.addr), p) {
			continue
		}
		g.taken = append(g.taken, p.addr)
		g.steps = append(g.steps, unpublish([]claim{{p.addr, p.index, names[p.index]}}, nil)...)
	}
}

// owns says whether what is published is as the machine wants it. For IPv6 the kernel
// answers though the TAP has no carrier, so of a guest that is down nothing may be
// left.
func (g *Garbage) owns(o *owned, p proxied) bool {
	switch {
	case o == nil || o.Gone && !o.opened():
		return false
	case g.ext == nil || o.Machine == nil:
		return true
	case p.index != g.ext.Index || !g.h.Publish:
		return false
	}
	return p.addr.Is4() || o.runs() && slices.Contains(o.Machine.Addresses(), p.addr)
}

// owners finds the owner of an address by the routes of ours, of which one that
// leads to a TAP goes before one to a beacon.
func (g *Garbage) owners() func(netip.Addr) *owned {
	to := map[netip.Prefix]*owned{}
	sizes := map[int]bool{}
	for _, o := range g.ours {
		for _, f := range o.routes {
			if old := to[f.to]; old == nil || o.TAP {
				to[f.to] = o
			}
			sizes[f.to.Bits()] = true
		}
	}
	return func(a netip.Addr) *owned {
		for n := range sizes {
			if p, err := a.Prefix(n); err == nil && to[p] != nil {
				return to[p]
			}
		}
		return nil
	}
}

// putBack publishes again what running guests have lost: the kernel forgets all when
// the interface is taken down. What is routed already was found silent once.
func (g *Garbage) putBack() {
	if g.ext == nil || !g.h.Publish {
		return
	}
	there := map[netip.Addr]bool{}
	for _, p := range g.proxies {
		if p.index == g.ext.Index {
			there[p.addr] = true
		}
	}
	for _, o := range g.sorted() {
		if o.Machine == nil || !o.TAP || !o.runs() {
			continue
		}
		for _, a := range g.due(o) {
			if there[a] {
				continue
			}
			g.fresh = append(g.fresh, a)
			g.steps = append(g.steps, g.ext.publishStep(a))
		}
	}
}

// due are the addresses of a running guest that are published: of those that its
// settings name what its routes record.
func (g *Garbage) due(o *owned) (all []netip.Addr) {
	routed := func(a netip.Addr) bool {
		return slices.ContainsFunc(o.routes, func(f fact) bool { return f.to.Contains(a) })
	}
	onLink := func(a netip.Addr) bool {
		return slices.ContainsFunc(g.onLink6, func(f fact) bool { return f.to.Contains(a) })
	}
	for _, a := range o.Machine.Addresses() {
		if routed(a) && (a.Is4() || onLink(a)) {
			all = append(all, a)
		}
	}
	return all
}

// Texts are the commands that Collect would do, and in a comment what is announced.
func (g *Garbage) Texts() []string { return append(texts(g.steps), g.news().comment()...) }

func (g *Garbage) news() News { return newsOn(g.ext, g.fresh) }

// Collect takes away and puts back, and returns what was published.
func (g *Garbage) Collect(ctx context.Context) (News, error) {
	if os.Geteuid() != 0 {
		return News{}, fault.Permanent("only root can change the host's network")
	}
	if err := g.run(ctx, g.steps); err != nil {
		return News{}, err
	}
	return g.news(), g.settle()
}

// settle makes good what a start lost that published an address just before it was
// taken for an old one: a route comes before its addresses are published.
func (g *Garbage) settle() error {
	if len(g.taken) == 0 || g.ext == nil || !g.h.Publish {
		return nil
	}
	g.routes = nil
	if err := g.findRoutes(); err != nil {
		return err
	}
	for _, f := range g.routes {
		for _, a := range g.taken {
			if o := g.ours[f.index]; a.Is4() && f.to.Contains(a) && (o == nil || !o.Gone) {
				if err := g.publish(a, g.ext.Index); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
