package netsetup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"uml/fault"
	"uml/firewall"
)

// Garbage decides what gc does: what no machine owns goes, and what running guests
// have lost comes back. Machines change meanwhile, and no lock of theirs is held: so
// each step looks again at what it depends on.
func (s *Survey) Garbage() error {
	s.decide()
	if err := s.filterSteps(); err != nil {
		return err
	}
	known, err := firewall.AllOwned()
	if err != nil {
		return err
	}
	s.disownSteps(known)
	back := s.ownSteps(known, s.inUse)
	if !slices.ContainsFunc(s.sorted(), func(o *owned) bool { return o.TAP && !o.bridged() && s.inUse(o) }) {
		return nil
	}
	return s.restore(back)
}

// Rules decides what gives back all that keeps guests from forging addresses, though
// none of them runs: a firewall was loaded anew.
func (s *Survey) Rules() error {
	if s.filter != nil {
		if err := s.refill(s.filter); err != nil {
			return err
		}
	}
	known, err := firewall.AllOwned()
	if err != nil {
		return err
	}
	return s.restore(s.ownSteps(known, func(o *owned) bool { return !o.Gone }))
}

func (s *Survey) decide() {
	names := s.names
	for _, f := range s.routes {
		if s.ours[f.index] != nil {
			continue
		}
		s.steps = append(s.steps, Step{f.text("del", names[f.index]), true, func(c *conn) error {
			return gone(c.RouteDel(f.netlink(f.index)))
		}})
	}
	s.unpublish(names)
	for _, o := range s.sorted() {
		switch {
		case o.Gone && s.inUse(o):
			s.Notes = append(s.Notes, fmt.Sprintf("%v: is in use, though there is no such machine (end the process that has it open)", o.link))
		case o.Gone:
			s.steps = append(s.steps, Step{remove(o.link).Text, true, func(*conn) error { return s.remove(o) }})
		}
	}
	s.putBack()
}

// inUse says whether the guest is up, or booting: its kernel then has the beacon.
func (s *Survey) inUse(o *owned) bool { return s.open[o.Alias] }

// remove is for a TAP or beacon whose machine is still not there.
func (s *Survey) remove(o *owned) error {
	l, err := s.linkAt(o.Index)
	if err != nil || l == nil || l.Alias != o.Alias || l.opened() || !s.owner(o.Alias).Gone {
		return err
	}
	return remove(l).do(s.conn)
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
// left. Where external is not set, another default route may pass.
func (s *Survey) owns(o *owned, p proxied) bool {
	switch {
	case o == nil || o.Gone && !s.inUse(o):
		return false
	case s.ext == nil || o.Machine == nil:
		return true
	case !s.h.Publish || p.index != s.ext.Index && s.h.External != "":
		return false
	}
	return p.addr.Is4() || (s.inUse(o) || o.Locked) && slices.Contains(o.Machine.Addresses(), p.addr)
}

// putBack publishes again what running guests have lost: the kernel forgets all when
// the interface is taken down. Only a kernel that has the TAP or the beacon open
// proves that the addresses were found silent.
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
	runs, six := false, false
	var back []Step
	for _, o := range s.sorted() {
		if o.Machine == nil || !o.TAP || o.bridged() || !s.inUse(o) {
			continue
		}
		runs = true
		for _, a := range s.due(o) {
			six = six || a.Is6()
			if !there[a] {
				back = append(back, Step{s.ext.publishStep(a).Text, false, func(*conn) error { return s.giveBack(o, a) }})
				s.fresh = append(s.fresh, a)
			}
		}
	}
	if runs {
		s.steps = append(append(s.steps, s.switches(six)...), back...)
	}
}

// switches are those of the external interface, which a new one of the name lacks.
func (s *Survey) switches(six bool) (steps []Step) {
	list := external4(s.ext.Name)
	if six {
		list = append(list, published6(s.ext.Name)...)
	}
	steps, err := switchSteps(list, false)
	if err != nil {
		s.Notes = append(s.Notes, err.Error())
	}
	return steps
}

// giveBack publishes an address, if the guest still has it before and after.
func (s *Survey) giveBack(o *owned, a netip.Addr) error {
	has, err := s.has(o, a)
	if err != nil || !has {
		return err
	}
	if err := s.publish(a, s.ext.Index); err != nil {
		return err
	}
	if has, err = s.has(o, a); has {
		s.given = append(s.given, a)
		return nil
	}
	return errors.Join(err, s.conn.unpublish(a, s.ext.Index))
}

// has says whether the TAP is still the guest's, open itself or by its beacon, and
// has a route of the address.
func (s *Survey) has(o *owned, a netip.Addr) (bool, error) {
	open := false
	for _, b := range s.sorted() {
		if b.Alias != o.Alias {
			continue
		}
		l, err := s.linkAt(b.Index)
		if err != nil {
			return false, err
		}
		open = open || l != nil && l.Alias == o.Alias && l.opened()
	}
	if !open {
		return false, nil
	}
	routes, err := s.table(family(a), o.Index)
	return slices.ContainsFunc(routes, func(f fact) bool { return f.protocol == Protocol && f.to.Contains(a) }), err
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
func (s *Survey) Texts() []string {
	return append(texts(s.steps), newsOn(s.ext, s.fresh).comment()...)
}

// Collect takes away and puts back. It returns what it did, and what has to be
// announced, though some of it has failed.
func (s *Survey) Collect(ctx context.Context) (did []string, news News, err error) {
	if os.Geteuid() != 0 {
		return nil, News{}, fault.NeedRoot.Permanent("only root can change the host's network")
	}
	for _, p := range s.steps {
		e := s.run(ctx, []Step{p})
		if e == nil {
			did = append(did, texts([]Step{p})...)
		}
		err = errors.Join(err, e)
		if ctx.Err() != nil {
			break
		}
	}
	err = errors.Join(err, s.settle())
	news = newsOn(s.ext, s.given)
	return append(did, news.comment()...), news, err
}

// settle makes good what a start lost that published an address just before it was
// taken for an old one: a route comes before its addresses are published.
func (s *Survey) settle() error {
	if len(s.taken) == 0 || s.ext == nil || !s.h.Publish {
		return nil
	}
	now, err := TakeSurvey(s.h, s.owner)
	if err != nil {
		return err
	}
	defer now.Close()
	owner := now.owners()
	for _, a := range s.taken {
		if o := owner(a); o != nil && now.owns(o, proxied{addr: a, index: s.ext.Index}) {
			err = errors.Join(err, now.publish(a, s.ext.Index))
		}
	}
	return err
}
