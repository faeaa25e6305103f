package netsetup

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"uml/fault"
)

// decide says what gc does: what no machine owns goes, and what running guests have
// lost comes back.
func (s *Survey) decide() {
	names := s.names
	for _, f := range s.routes {
		if o := s.ours[f.index]; o != nil {
			o.routes = append(o.routes, f)
			continue
		}
		s.steps = append(s.steps, Step{f.text("del", names[f.index]), true, func(c *conn) error {
			return gone(c.RouteDel(f.netlink(f.index)))
		}})
	}
	s.unpublish(names)
	for _, o := range s.sorted() {
		switch {
		case o.Gone && o.opened():
			s.Notes = append(s.Notes, fmt.Sprintf("%v: is open, though there is no such machine (end the process that has it)", o.link))
		case o.Gone:
			s.steps = append(s.steps, remove(o.link))
		}
	}
	s.putBack()
}

// unpublish: an address is owned by the machine whose TAP its route leads to.
func (s *Survey) unpublish(names map[int]string) {
	owners := s.owners()
	for _, p := range s.proxies {
		if p.protocol != Protocol || s.owns(owners(p.addr), p) {
			continue
		}
		s.taken = append(s.taken, p.addr)
		s.steps = append(s.steps, unpublish([]claim{{p.addr, p.index, names[p.index]}}, nil)...)
	}
}

// owns says whether what is published is as the machine wants it. For IPv6 the kernel
// answers though the TAP has no carrier, so of a guest that is down nothing may be
// left.
func (s *Survey) owns(o *owned, p proxied) bool {
	switch {
	case o == nil || o.Gone && !o.opened():
		return false
	case s.ext == nil || o.Machine == nil:
		return true
	case p.index != s.ext.Index || !s.h.Publish:
		return false
	}
	return p.addr.Is4() || o.runs() && slices.Contains(o.Machine.Addresses(), p.addr)
}

// putBack publishes again what running guests have lost: the kernel forgets all when
// the interface is taken down. What is routed already was found silent once.
func (s *Survey) putBack() {
	if s.ext == nil || !s.h.Publish {
		return
	}
	there := map[netip.Addr]bool{}
	for _, p := range s.proxies {
		if p.index == s.ext.Index {
			there[p.addr] = true
		}
	}
	for _, o := range s.sorted() {
		if o.Machine == nil || !o.TAP || !o.runs() {
			continue
		}
		for _, a := range s.due(o) {
			if there[a] {
				continue
			}
			s.fresh = append(s.fresh, a)
			s.steps = append(s.steps, s.ext.publishStep(a))
		}
	}
}

// due are the addresses of a running guest that are published: of those that its
// settings name what its routes record.
func (s *Survey) due(o *owned) (all []netip.Addr) {
	routed := func(a netip.Addr) bool {
		return slices.ContainsFunc(o.routes, func(f fact) bool { return f.to.Contains(a) })
	}
	onLink := func(a netip.Addr) bool {
		return slices.ContainsFunc(s.onLink6, func(f fact) bool { return f.to.Contains(a) })
	}
	for _, a := range o.Machine.Addresses() {
		if routed(a) && (a.Is4() || onLink(a)) {
			all = append(all, a)
		}
	}
	return all
}

// Texts are the commands that Collect would do, and in a comment what is announced.
func (s *Survey) Texts() []string { return append(texts(s.steps), s.news().comment()...) }

func (s *Survey) news() News { return newsOn(s.ext, s.fresh) }

// Collect takes away and puts back, and returns what was published.
func (s *Survey) Collect(ctx context.Context) (News, error) {
	if os.Geteuid() != 0 {
		return News{}, fault.Permanent("only root can change the host's network")
	}
	if err := s.run(ctx, s.steps); err != nil {
		return News{}, err
	}
	return s.news(), s.settle()
}

// settle makes good what a start lost that published an address just before it was
// taken for an old one: a route comes before its addresses are published.
func (s *Survey) settle() error {
	if len(s.taken) == 0 || s.ext == nil || !s.h.Publish {
		return nil
	}
	s.routes = nil
	if err := s.findRoutes(); err != nil {
		return err
	}
	for _, f := range s.routes {
		for _, a := range s.taken {
			if o := s.ours[f.index]; a.Is4() && f.to.Contains(a) && (o == nil || !o.Gone) {
				if err := s.publish(a, s.ext.Index); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
