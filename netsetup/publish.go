package netsetup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// News is what a change did that others have to be told of.
type News struct {
	Made      bool         // the TAP, which was not there
	Addresses []netip.Addr // published
	On        Interface    // where, if any were
}

func (l *look) news() News {
	n := newsOn(l.ext, l.fresh)
	n.Made = l.tap.link == nil
	return n
}

func newsOn(ext *link, fresh []netip.Addr) (n News) {
	if n.Addresses = fresh; len(fresh) > 0 {
		n.On = Interface{ext.Name, ext.Index, ext.MAC}
	}
	return n
}

// comment is the announcement among commands.
func (p News) comment() []string {
	if len(p.Addresses) == 0 {
		return nil
	}
	var all []string
	for _, a := range p.Addresses {
		all = append(all, a.String())
	}
	return []string{fmt.Sprintf("# announce on %s: %s", p.On.Name, strings.Join(all, " "))}
}

// onLink lists the guest's IPv6 addresses that the external link's other hosts look
// for there, since a prefix of that link holds them: a provider who gives a /56 on
// the link and routes nothing. A /64 cannot be published, only addresses one by one,
// so these are the ones that the host knows the guest to have. Where the prefix is
// routed to this host, as it should be, there are none.
func (l *look) onLink() (all []netip.Addr, err error) {
	if !l.h.Publish || len(l.m.IP6) == 0 || l.ext == nil {
		return nil, nil
	}
	table, err := l.table(unix.AF_INET6, l.ext.Index)
	if err != nil {
		return nil, err
	}
	for i, p := range l.m.IP6 {
		if slices.ContainsFunc(table, func(f fact) bool { return f.isLink() && f.to.Contains(p.Addr()) }) {
			all = append(all, l.m.Addresses6(i)...)
		}
	}
	return all, nil
}

// isLink: the kernel makes such a route for an address and its prefix, or for an
// advertised prefix. One by hand leads to no router either.
func (f fact) isLink() bool {
	return f.kind == unix.RTN_UNICAST && len(f.hops) == 0 && f.to.Bits() > 3 && !f.to.Addr().IsLinkLocalUnicast()
}
