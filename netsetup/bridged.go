package netsetup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"uml/fault"
	"uml/guard"
	"uml/settings"
)

// A bridged guest (paper 4.1) is a port of a bridge that the administrator has
// made, and that is never made, changed or taken away here. The host has no route
// to it and publishes nothing: the guest answers for itself.

// bridge finds the machine's bridge. One that is not there may come yet, as the
// host boots.
func (l *look) bridge() (*link, error) {
	name := l.m.Net.Bridge
	b, err := l.link(name)
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, fault.BridgeBad.Temporary("bridge %s: there is no such interface (try: ip link add %s type bridge; or mend settings/net)", name, name)
	case b.Kind != "bridge":
		return nil, fault.BridgeBad.Permanent("%s is %s, no bridge (mend settings/net)", name, b.kind())
	}
	return b, nil
}

// upBridged decides in this order: what routing had goes first; the filter stands
// before the TAP is in its group, and until it knows the guest the TAP is shut; then
// the TAP becomes a port, and is up when it is all that it must be. The filter knows
// no guest whose TAP is not there: gc would take it for one that is gone.
func (l *look) upBridged() ([]Step, error) {
	bridge, err := l.bridge()
	if err != nil {
		return nil, err
	}
	if err := l.refusedBridged(bridge); err != nil {
		return nil, err
	}
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	steps := append(unpublish(claims, nil), l.putOut()...)
	for _, decide := range []func() ([]Step, error){
		l.removeTAPs,
		func() ([]Step, error) { return drop(l.tap, want{}), nil },
		func() ([]Step, error) { return disown(l.tap.routes) },
		l.wholeSteps,
		l.freeSteps,
		func() ([]Step, error) { return l.make(), nil },
		l.admitSteps,
		func() ([]Step, error) { return switchSteps(portSwitches(l.m.TAP), l.tap.link == nil) },
		func() ([]Step, error) { return l.address(), nil },
		func() ([]Step, error) { return l.portSteps(bridge) },
	} {
		more, err := decide()
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return append(steps, l.raise()...), nil
}

// refusedBridged says why a bridged machine can be given nothing at all.
func (l *look) refusedBridged(bridge *link) error {
	err := l.refusedTAP()
	if slices.Equal(bridge.MAC, l.m.MAC) {
		err = errors.Join(err, fault.MACTaken.Permanent("%v is the host's own hardware address, of %s (choose another in settings/mac)", l.m.MAC, bridge.Name))
	}
	at, lookErr := l.forwarded(bridge)
	if at == nil || !at.static || l.isPort(at.port) {
		return errors.Join(err, lookErr)
	}
	other, lookErr := l.linkAt(at.port)
	if other != nil {
		lookErr = fault.MACTaken.Permanent("%v is the hardware address of %v (choose another in settings/mac)", l.m.MAC, other)
	}
	return errors.Join(err, lookErr)
}

// isPort says whether the interface is a TAP of this machine.
func (l *look) isPort(index int) bool {
	return slices.ContainsFunc(l.ours(), func(h held) bool { return h.Index == index })
}

// portSwitches: the host says nothing to the guest but over the bridge.
func portSwitches(tap string) []sysctl {
	conf := "ipv4/conf/" + tap + "/"
	list := []sysctl{{conf + "forwarding", "0"}, {conf + "proxy_arp", "0"}, {conf + "rp_filter", "1"}, {conf + "accept_redirects", "0"}}
	if ipv6() {
		list = append(list, sysctl{"ipv6/conf/" + tap + "/disable_ipv6", "1"})
	}
	return list
}

// freeSteps make the filter forget a TAP that it is to hold no more. That comes
// before the TAP leaves the group by which it is known: an interrupted change is
// then finished by the next, and until then the TAP sends nothing.
func (l *look) freeSteps() ([]Step, error) {
	if is := l.tap.link; is == nil || is.LinkGroup != guard.Group || l.m.Guarded() {
		return nil, nil
	}
	return l.expelSteps(l.m.TAP)
}

// leaveBridge makes of a TAP that was a port one that can be routed to.
func (l *look) leaveBridge() (steps []Step) {
	is := l.tap.link
	if is == nil || is.Master == 0 && is.LinkGroup != guard.Group {
		return nil
	}
	if is.Master != 0 {
		steps = append(steps, Step{fmt.Sprintf("ip link set dev %s nomaster", is.Name), true,
			func(c *conn) error { return c.LinkSetNoMaster(is.attrs()) }})
	}
	if is.MTU != defaultMTU {
		steps = append(steps, setMTU(is.Name, defaultMTU))
	}
	return steps
}

const defaultMTU = 1500

func setMTU(tap string, mtu int) Step {
	return onLink(fmt.Sprintf("ip link set dev %s mtu %d", tap, mtu), tap,
		func(c *conn, t netlink.Link) error { return c.LinkSetMTU(t, mtu) })
}

// foreignsBridged says what of a bridged machine's network is another's on this
// host: see Foreign.
func (l *look) foreignsBridged() error {
	bridge, err := l.bridge()
	if err == nil {
		err = l.refusedBridged(bridge)
	}
	routers, lookErr := l.routers()
	errs := []error{err, lookErr}
	for _, a := range l.m.Addresses() {
		p := netip.PrefixFrom(a, a.BitLen())
		errs = append(errs, routed(a, p, routers), l.foreign(a, p))
	}
	return errors.Join(errs...)
}

// Segment is the bridge of a bridged machine, where its addresses are asked. It is
// alone if no port of it leads to a network: then only guests of this host can have
// them, and there is nobody to ask if none is up.
func Segment(m *settings.Machine) (on *Interface, alone bool, err error) {
	c, err := dial()
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	l := &look{conn: c, m: m}
	bridge, err := l.bridge()
	if err != nil {
		return nil, false, err
	}
	ports, err := c.ports(bridge)
	if err != nil {
		return nil, false, err
	}
	on = &Interface{bridge.Name, bridge.Index, bridge.MAC}
	if len(outward(ports)) == 0 && bridge.up() {
		return on, true, nil
	}
	return on, false, c.sees("bridge", bridge)
}
