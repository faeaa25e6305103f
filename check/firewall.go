package check

import (
	"bytes"
	"os"
	"strings"

	"uml/fault"
	"uml/firewall"
	"uml/runscript"
	"uml/settings"
)

// firewall: the rules as they stand in the kernel. They are for all guests; each
// that is up without them can send as somebody else.
func (c *checker) firewall() {
	c.saved(savedRules, setsFirst)
	states, err := firewall.Look(c.h)
	if err != nil {
		c.host.fail("firewall", err)
		return
	}
	for _, s := range states {
		c.stands(s)
	}
}

// Where Debian keeps what it loads at boot, and what makes our sets before.
var savedRules = []string{"/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/nftables.conf"}

const setsFirst = "/usr/share/netfilter-persistent/plugins.d/05-uml"

// saved: a rule that matches a set loads only where the set is, and a file of rules
// loads whole or not at all. So the host would be without its firewall.
func (c *checker) saved(files []string, setsFirst string) {
	_, first := os.Stat(setsFirst)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(b, []byte("UML-")) {
			continue
		}
		switch {
		case strings.HasSuffix(file, ".conf"):
			c.host.warn("firewall", "%s: holds rules of ours, and is not loaded at boot, all of it, since nft cannot read them (take the tables raw out of it)", file)
		case first != nil:
			c.host.warn("firewall", "%s: holds rules of ours, and is not loaded at boot, all of it, since their sets are not there yet (try: sed -i /UML-/d %[1]s; or make %s, see docs/tasks/networks.md)", file, setsFirst)
		}
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
