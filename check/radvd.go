package check

import (
	"uml/fault"
	"uml/radvd"
	"uml/settings"
)

// radvd: without advertisements a guest has no IPv6 but what it was given by hand.
func (c *checker) radvd() {
	wanted := false
	for _, m := range c.machines {
		wanted = wanted || m.Machine != nil && m.Machine.Net.Kind == settings.Routed && len(m.Machine.IP6) > 0
	}
	s, err := radvd.Look(c.Machines, c.h)
	if err != nil && !wanted {
		return // whatever is wrong with the file is no machine's concern
	}
	if err != nil {
		c.host.fail("radvd", err)
		return
	}
	for _, f := range fault.Parts(s.Faults) {
		c.host.warn("radvd", "%v", f)
	}
	switch {
	case s.Differs:
		c.host.warn("radvd", "%s is not what the machines' settings say (try: uml-net radvd, from cron too)", c.h.RadvdConf)
	case !wanted:
		c.host.ok("radvd", "no machine has IPv6")
		return
	}
	switch {
	case !wanted:
	case !s.Installed:
		c.host.warn("radvd", "radvd is not installed, so no guest is told of its IPv6 prefix (try: apt-get install radvd)")
	case !s.Running:
		c.host.warn("radvd", "no radvd that reads %s is running (try: systemctl start radvd)", c.h.RadvdConf)
	case !s.Differs:
		c.host.ok("radvd", "%s is what the machines' settings say", c.h.RadvdConf)
	}
	c.joined(s.Interfaces)
}

// membership is what one membership of a multicast group takes of a socket's
// memory for options: sizeof(struct ipv6_mc_socklist) since Linux 5.13, which had a
// lock of 8 bytes before.
const membership = 56

// joined: radvd has one socket, which joins ff02::2 on each interface. On those
// beyond what the socket's memory is for it says nothing.
func (c *checker) joined(interfaces int) {
	most, ok := sysctl("net/core/optmem_max")
	if ok && interfaces > 0 && (most-1)/membership < interfaces {
		c.host.warn("radvd", "net.core.optmem_max is %d, enough for radvd on %d interfaces, and it has %d: on the others it is silent (try: sysctl -w net.core.optmem_max=%d, then systemctl restart radvd)", most, (most-1)/membership, interfaces, 2*membership*interfaces)
	}
}
