package netsetup

import (
	"net/netip"

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

// up decides in this order: the firewall's rules stand before all; what is of no
// use goes first; the TAP is made, marked and switched before it is up; a route is
// there before it is published.
func (l *look) up() ([]Step, error) {
	switch l.m.Net.Kind {
	case settings.None:
		return l.down()
	case settings.Bridged:
		return l.upBridged()
	}
	if err := l.refused(); err != nil {
		return nil, err
	}
	w := wanted(l.m, l.h)
	onLink, err := l.onLink()
	if err != nil {
		return nil, err
	}
	w.publish = append(w.publish, onLink...)
	claims, err := l.claims()
	if err != nil {
		return nil, err
	}
	steps, err := l.rules()
	if err != nil {
		return nil, err
	}
	owned, err := own(w, l.tap.routes, len(steps) > 0)
	if err != nil {
		return nil, err
	}
	lost, err := disown(surplus(l.tap.routes, w))
	if err != nil {
		return nil, err
	}
	steps = append(steps, unpublish(claims, w.publish)...)
	unfit, err := l.removeTAPs()
	if err != nil {
		return nil, err
	}
	steps = append(steps, unfit...)
	steps = append(steps, drop(l.tap, w)...)
	steps = append(steps, l.leaveBridge()...)
	free, err := l.freeSteps()
	if err != nil {
		return nil, err
	}
	steps = append(steps, free...)
	steps = append(steps, lost...)
	switches, err := l.switches(len(onLink) > 0)
	if err != nil {
		return nil, err
	}
	steps = append(steps, l.make()...)
	steps = append(steps, switches...)
	steps = append(steps, l.address()...)
	steps = append(steps, l.raise()...)
	steps = append(steps, l.give(w)...)
	steps = append(steps, owned...) // after the routes: see disown
	return append(steps, l.publishAll(w, claims)...), nil
}

// refused says why nothing can be given at all.
func (l *look) refused() error {
	if l.extErr != nil {
		return l.extErr
	}
	if err := l.withoutIPv6(); err != nil {
		return err
	}
	return l.refusedTAP()
}

func (l *look) withoutIPv6() error {
	if len(l.m.IP6) > 0 && !ipv6() {
		return fault.HostNoIPv6.Permanent("settings/ip6: this host's kernel has no IPv6 (modprobe ipv6)")
	}
	return nil
}

func (l *look) refusedTAP() error {
	if l.tap.link != nil && judge(l.tap.link, l.m) == foreign {
		return refuse(l.tap.link)
	}
	if u := l.user; u != nil && u.Alias != Alias(l.m) && u.Name != l.m.TAP {
		return fault.AccountShared.Permanent("user %s (id %d) is served by %v already: two machines never share an account (choose another in settings/user)", l.m.User.Name, l.m.User.UID, u)
	}
	for _, t := range l.unfit() {
		if t.opened() {
			return fault.TAPBusy.Temporary("%s must be made anew for the settings as they are, but a process has it open (end the guest first)", t.Name)
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
