package netsetup

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"uml/firewall"
	"uml/guard"
)

// removeTAPs takes unfit TAPs away; their routes go with them.
func (l *look) removeTAPs() (steps []Step, err error) {
	for _, t := range l.unfit() {
		if t.LinkGroup == guard.Group && (t.Name != l.m.TAP || !l.m.Guarded()) {
			forget, err := l.expelSteps(t.Name)
			if err != nil {
				return nil, err
			}
			steps = append(steps, forget...)
		}
		steps = append(steps, remove(t))
		if t == l.tap.link {
			l.tap = held{}
		}
	}
	return steps, nil
}

// remove takes a TAP away, and then what was counted of its guest: the next of that
// name may be another's.
func remove(t *link) Step {
	return Step{"ip link del dev " + t.Name, true, func(c *conn) error {
		if err := gone(c.LinkDel(t.attrs())); err != nil || !t.TAP {
			return err
		}
		return firewall.Forget(t.Name)
	}}
}

func unpublish(claims []claim, keep []netip.Addr) (steps []Step) {
	for _, k := range claims {
		if slices.Contains(keep, k.addr) {
			continue
		}
		steps = append(steps, Step{fmt.Sprintf("ip neigh del proxy %v dev %s", k.addr, k.dev), true,
			func(c *conn) error { return c.unpublish(k.addr, k.index) }})
	}
	return steps
}

// drop takes from a TAP what is not wanted there.
func drop(t held, w want) (steps []Step) {
	for _, r := range t.routes {
		if !slices.Contains(w.routes, r) {
			steps = append(steps, Step{r.text("del", t.Name), true, func(c *conn) error {
				return gone(c.RouteDel(r.netlink(t.Index)))
			}})
		}
	}
	for _, a := range t.addrs {
		if !slices.Contains(w.addrs, a) {
			steps = append(steps, Step{fmt.Sprintf("ip -6 addr del %v dev %s", a, t.Name), true, func(c *conn) error {
				return gone(c.AddrDel(t.attrs(), &netlink.Addr{IPNet: ipNet(a)}))
			}})
		}
	}
	return steps
}

// release decides what Release does, on every TAP of the machine.
func (l *look) release() ([]Step, error) {
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	steps := append(unpublish(claims, nil), l.putOut()...)
	var lost []route // which no Up after it will find
	for _, t := range l.ours() {
		steps = append(steps, drop(held{link: t.link, routes: t.routes}, want{})...)
		lost = append(lost, surplus(t.routes, wanted(l.m, l.h))...)
	}
	known, err := disown(lost)
	if err != nil {
		return nil, err
	}
	more, err := l.unforward()
	return append(append(steps, known...), more...), err
}

// down decides what Down does: a TAP's routes and addresses go with it, and as a
// port what its bridge has of it. The filter forgets it first: see freeSteps.
func (l *look) down() ([]Step, error) {
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	steps := append(unpublish(claims, nil), l.putOut()...)
	forget, err := l.forgetSteps()
	if err != nil {
		return nil, err
	}
	steps = append(steps, forget...)
	routes := wanted(l.m, l.h).routes
	for _, t := range l.ours() {
		steps = append(steps, remove(t.link))
		routes = append(routes, t.routes...)
	}
	lost, err := disown(routes)
	return append(steps, lost...), err
}
