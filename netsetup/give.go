package netsetup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// make makes and marks the TAP, with the group that the rules know it by. Its other
// names can be refused by an old kernel, which then finds the TAP by its first name
// only.
func (l *look) make() (steps []Step) {
	tap, uid := l.m.TAP, l.m.User.UID
	is := l.tap.link
	if is == nil {
		is = &link{}
		steps = append(steps, Step{fmt.Sprintf("ip tuntap add dev %s mode tap user %d", tap, uid), false,
			func(*conn) error { return makeTAP(tap, uid) }})
	}
	if a := Alias(l.m); is.Alias != a {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s alias %q", tap, a), tap,
			func(c *conn, t netlink.Link) error { return c.LinkSetAlias(t, a) }))
	}
	if to := group(l.m); is.LinkGroup != to {
		steps = append(steps, setGroup(tap, to))
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
func (l *look) switches(publishes6 bool) ([]Step, error) {
	shared := external4(l.ext.Name)
	own := tap4(l.m.TAP)
	if publishes6 {
		shared = append(shared, published6(l.ext.Name)...)
	}
	if len(l.m.IP6) > 0 {
		six, err := l.external6()
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

func (l *look) address() []Step {
	tap, mac := l.m.TAP, l.m.HostMAC()
	if is := l.tap.link; is != nil && is.MAC.String() == mac.String() {
		return nil
	}
	return []Step{onLink(fmt.Sprintf("ip link set dev %s address %v", tap, mac), tap,
		func(c *conn, t netlink.Link) error { return c.LinkSetHardwareAddr(t, mac) })}
}

func (l *look) raise() []Step {
	tap := l.m.TAP
	if is := l.tap.link; is != nil && is.up() {
		return nil
	}
	return []Step{onLink(fmt.Sprintf("ip link set dev %s up", tap), tap,
		func(c *conn, t netlink.Link) error { return c.LinkSetUp(t) })}
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
		l.fresh = append(l.fresh, a)
		steps = append(steps, ext.publishStep(a))
	}
	return steps
}

func (l *link) publishStep(a netip.Addr) Step {
	return Step{fmt.Sprintf("ip neigh replace proxy %v dev %s protocol %d", a, l.Name, Protocol), false,
		func(c *conn) error { return c.publish(a, l.Index) }}
}

// onLink is a step on an interface that an earlier step may have made.
func setGroup(tap string, to uint32) Step {
	return onLink(fmt.Sprintf("ip link set dev %s group %d", tap, to), tap,
		func(c *conn, t netlink.Link) error { return c.LinkSetGroup(t, int(to)) })
}

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
