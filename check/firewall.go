package check

import (
	"uml/fault"
	"uml/firewall"
	"uml/runscript"
	"uml/settings"
)

// firewall: the rules as they stand in the kernel. They are for all guests; each
// that is up without them can send as somebody else.
func (c *checker) firewall() {
	states, err := firewall.Look(c.h)
	if err != nil {
		c.host.fail("firewall", err)
		return
	}
	for _, s := range states {
		c.stands(s)
	}
}

func (c *checker) stands(s firewall.State) {
	switch {
	case !s.Stands() && c.routedUp():
		c.host.fail("firewall", fault.Permanent("%s: the rules that keep guests from forging addresses do not stand whole, and guests are up (try: uml-net restore)", s.Family))
	case !s.Stands():
		if err := firewall.Ready(); err != nil {
			c.host.fail("firewall", err)
			return
		}
		c.host.ok("firewall", "%s: no rules yet, the first start of a routed guest makes them", s.Family)
		return
	case s.Before > 0:
		c.host.warn("firewall", "%s: %d rules of others stand before ours in table raw, chain PREROUTING, of %s: what they accept is not checked (try: %s)", s.Family, s.Before, s.Where, s.Remake)
	case !s.Counts:
		c.host.warn("firewall", "%s: what guests forge is dropped, but not counted, and what others forge of guests' addresses is not dropped: this kernel lacks ipset's %s, or has another set of the name (try: modprobe -a ip_set_hash_netiface xt_set; %s)", s.Family, firewall.CountType, s.Remake)
	default:
		c.host.ok("firewall", "%s: the rules that keep guests from forging addresses stand in %s", s.Family, s.Where)
	}
	if s.Also != "" {
		c.host.warn("firewall", "%s: rules of ours are also in %s, that no run makes: iptables-legacy and iptables-nft are mixed (try: update-alternatives --config iptables, and remove the UML- chains of the other)", s.Family, s.Also)
	}
}

func (c *checker) routedUp() bool {
	for _, m := range c.machines {
		if m.State == runscript.Up && m.Machine != nil && m.Machine.Net.Kind == settings.Routed {
			return true
		}
	}
	return false
}
