package netsetup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// A want is what a machine's settings name.
type want struct {
	routes  []route
	publish []netip.Addr
	addrs   []netip.Prefix // the host's IPv6 address on the link
}

func wanted(m *settings.Machine, h *settings.Host) (w want) {
	if m.Net.Kind != settings.Routed {
		return w
	}
	for _, p := range m.IP4 {
		w.routes = append(w.routes, route{to: p})
	}
	if h.Publish {
		w.publish = m.Addresses4()
	}
	for i, p := range m.IP6 {
		if i == 0 {
			w.addrs = []netip.Prefix{netip.PrefixFrom(settings.Gateway(p), 64)}
			w.routes = append(w.routes, route{to: p})
			continue
		}
		w.routes = append(w.routes, route{to: p, via: settings.Router(m.IP6[0])})
	}
	return w
}

// up decides in this order: what is of no use goes first; the TAP is made, marked
// and switched before it is up; a route is there before it is published.
func (l *look) up() ([]Step, error) {
	if l.m.Net.Kind != settings.Routed {
		return l.down()
	}
	if err := l.refused(); err != nil {
		return nil, err
	}
	w := wanted(l.m, l.h)
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	var steps []Step
	steps = append(steps, unpublish(claims, w.publish)...)
	steps = append(steps, l.removeTAPs()...)
	steps = append(steps, l.drop(w)...)
	switches, err := l.switches()
	if err != nil {
		return nil, err
	}
	steps = append(steps, l.make()...)
	steps = append(steps, switches...)
	steps = append(steps, l.raise()...)
	steps = append(steps, l.give(w)...)
	return append(steps, l.publishAll(w, claims)...), nil
}

// refused says why nothing can be given at all.
func (l *look) refused() error {
	if l.extErr != nil {
		return l.extErr
	}
	if len(l.m.IP6) > 0 && !ipv6() {
		return fault.Permanent("settings/ip6: this host's kernel has no IPv6 (modprobe ipv6)")
	}
	return l.refusedTAP()
}

func (l *look) refusedTAP() error {
	if l.tap.link != nil && judge(l.tap.link, l.m) == foreign {
		return refuse(l.tap.link)
	}
	if u := l.user; u != nil && u.Alias != alias(l.m) && u.Name != l.m.TAP {
		return fault.Permanent("user %s (id %d) is served by %v already: two machines never share an account (choose another in settings/user)", l.m.User.Name, l.m.User.UID, u)
	}
	for _, t := range l.unfit() {
		if t.opened() {
			return fault.Temporary("%s must be made anew for the settings as they are, but a process has it open (end the guest first)", t.Name)
		}
	}
	return nil
}

// unfit lists the machine's TAPs that cannot be mended, only made anew.
func (l *look) unfit() (all []*link) {
	if l.old.link != nil {
		all = append(all, l.old.link)
	}
	if l.tap.link != nil && judge(l.tap.link, l.m) == remake {
		all = append(all, l.tap.link)
	}
	return all
}

// removeTAPs takes unfit TAPs away; their routes go with them.
func (l *look) removeTAPs() (steps []Step) {
	for _, t := range l.unfit() {
		steps = append(steps, remove(t))
		if t == l.tap.link {
			l.tap = held{}
		}
	}
	return steps
}

func remove(t *link) Step {
	return Step{"ip link del dev " + t.Name, true, func(c *conn) error { return gone(c.LinkDel(t.attrs())) }}
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

// drop takes from the TAP what is not wanted there.
func (l *look) drop(w want) []Step { return dropOf(l.tap, w) }

func dropOf(t held, w want) (steps []Step) {
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

// make makes and marks the TAP. Its other names can be refused by an old kernel,
// which then finds the TAP by its first name only.
func (l *look) make() (steps []Step) {
	tap, uid := l.m.TAP, l.m.User.UID
	is := l.tap.link
	if is == nil {
		is = &link{}
		steps = append(steps, Step{fmt.Sprintf("ip tuntap add dev %s mode tap user %d", tap, uid), false,
			func(*conn) error { return makeTAP(tap, uid) }})
	}
	if a := alias(l.m); is.Alias != a {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s alias %q", tap, a), tap,
			func(c *conn, t netlink.Link) error { return c.LinkSetAlias(t, a) }))
	}
	for _, n := range []string{machineName(l.m), userName(l.m)} {
		if !is.has(n) {
			steps = append(steps, onLink(fmt.Sprintf("ip link property add dev %s altname %s", tap, n), tap,
				func(c *conn, t netlink.Link) error { return unlessOld(c.LinkAddAltName(t, n)) }))
		}
	}
	return steps
}

func unlessOld(err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// switches are the sysctls that are not yet as they must be. A TAP that is still
// to be made gets all of its own.
func (l *look) switches() ([]Step, error) {
	shared := external4(l.ext.Name)
	own := tap4(l.m.TAP)
	if len(l.m.IP6) > 0 {
		six, err := external6()
		if err != nil {
			return nil, err
		}
		shared = append(shared, six...)
	}
	if ipv6() {
		own = append(own, tap6(l.m.TAP, len(l.m.IP6) > 0)...)
	}
	steps, err := switchSteps(shared, false)
	if err != nil {
		return nil, err
	}
	more, err := switchSteps(own, l.tap.link == nil)
	return append(steps, more...), err
}

func switchSteps(list []sysctl, fresh bool) (steps []Step, err error) {
	for _, s := range list {
		if !fresh {
			v, err := s.get()
			if err != nil {
				return nil, err
			}
			if v == s.value {
				continue
			}
		}
		steps = append(steps, Step{s.String(), false, func(*conn) error { return s.set() }})
	}
	return steps, nil
}

func (l *look) raise() (steps []Step) {
	tap, mac := l.m.TAP, l.m.HostMAC()
	is := l.tap.link
	if is == nil || is.MAC.String() != mac.String() {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s address %v", tap, mac), tap,
			func(c *conn, t netlink.Link) error { return c.LinkSetHardwareAddr(t, mac) }))
	}
	if is == nil || !is.up() {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s up", tap), tap,
			func(c *conn, t netlink.Link) error { return c.LinkSetUp(t) }))
	}
	return steps
}

// give puts the addresses and routes on the TAP. The host's own ::1 makes no route
// of its own, and is not looked for on the link: it is reserved (paper 4.3.2).
func (l *look) give(w want) (steps []Step) {
	tap := l.m.TAP
	for _, a := range w.addrs {
		if !slices.Contains(l.tap.addrs, a) {
			steps = append(steps, onLink(fmt.Sprintf("ip -6 addr replace %v dev %s nodad noprefixroute", a, tap), tap,
				func(c *conn, t netlink.Link) error {
					return c.AddrReplace(t, &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE})
				}))
		}
	}
	for _, r := range w.routes {
		if slices.Contains(l.tap.routes, r) {
			continue
		}
		verb, do := "add", r.add
		if slices.Contains(l.tap.others, r.to) {
			verb, do = "replace", func(c *conn, index int) error { return c.RouteReplace(r.netlink(index)) }
		}
		steps = append(steps, onLink(r.text(verb, tap), tap,
			func(c *conn, t netlink.Link) error { return do(c, t.Attrs().Index) }))
	}
	return steps
}

func (l *look) publishAll(w want, claims []claim) (steps []Step) {
	ext := l.ext
	for _, a := range w.publish {
		if slices.ContainsFunc(claims, func(k claim) bool { return k.addr == a }) {
			continue
		}
		steps = append(steps, Step{fmt.Sprintf("ip neigh replace proxy %v dev %s protocol %d", a, ext.Name, Protocol), false,
			func(c *conn) error { return c.publish(a, ext.Index) }})
	}
	return steps
}

// release decides what Release does, on every TAP of the machine.
func (l *look) release() ([]Step, error) {
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	steps := unpublish(claims, nil)
	for _, t := range l.ours() {
		steps = append(steps, dropOf(held{link: t.link, routes: t.routes}, want{})...)
	}
	return steps, nil
}

// down decides what Down does: a TAP's routes and addresses go with it.
func (l *look) down() ([]Step, error) {
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	steps := unpublish(claims, nil)
	for _, t := range l.ours() {
		steps = append(steps, remove(t.link))
	}
	return steps, nil
}

// onLink is a step on an interface that an earlier step may have made.
func onLink(text, name string, do func(*conn, netlink.Link) error) Step {
	return Step{text, false, func(c *conn) error {
		t, err := c.link(name)
		if err != nil {
			return err
		}
		if t == nil {
			return unix.ENODEV
		}
		return do(c, t.attrs())
	}}
}
