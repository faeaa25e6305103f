// Package firewall keeps routed guests from sending with addresses that are not
// theirs, and from what of the host is not for them. A constant number of rules
// serves any number of guests: interfaces are known by their link group, and whose
// an address is the routes say. The rules stand in table raw of both families,
// before connection tracking, so that a flood of forged packets costs no entry
// there:
//
//	PREROUTING: from Group?               -> UML-GUESTS
//	UML-GUESTS: no route back by this TAP -> UML-FORGED, which counts and drops
//	            then what else a guest must not send
//	PREROUTING: from elsewhere, and no route back there -> UML-OUTSIDE
//	UML-OUTSIDE: a guest's address?       -> dropped: somebody else forges it
//
// iptables makes them, by go-iptables, once for the host: whoever manages the
// host's firewall sees them among his own. Whether they stand is looked up in the
// kernel itself (nf_tables and iptables-legacy alike), without starting a process.
// Rules of others are never touched.
//
// It acts in the network namespace of the calling thread: a caller that has
// changed it must have locked its goroutine to the thread.
//
// Not promised: that the rules stand a moment later. Who flushes the firewall takes
// them away until the next start or Restore.
package firewall

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"uml/settings"
)

// Group is the link group that TAPs of routed guests are in, the number of their
// routes' protocol.
const Group = 117

const (
	table   = "raw"
	entry   = "PREROUTING"
	prefix  = "UML-"
	guests  = prefix + "GUESTS"
	forged  = prefix + "FORGED"
	outside = prefix + "OUTSIDE"
	guard   = prefix + "GUARD" // while the others are mended: drops all
	sealing = prefix + "SEAL-"
)

// A family of the Internet protocol, by its number.
type family uint8

const (
	four family = unix.AF_INET
	six  family = unix.AF_INET6
)

func (f family) String() string { return map[family]string{four: "IPv4", six: "IPv6"}[f] }
func (f family) program() string {
	return map[family]string{four: "iptables", six: "ip6tables"}[f]
}

// families are those of this host's kernel.
func families() []family {
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/all"); os.IsNotExist(err) {
		return []family{four}
	}
	return []family{four, six}
}

// A command of iptables(8). What has to do with a set may fail: the rest must stand
// without.
type command struct {
	verb  string // -N, -F if it is there; -A; -I, at the top; -D
	chain string
	rule  []string
	set   bool
}

func (c command) text(f family) string {
	return strings.Join(append([]string{f.program(), "-t", table, c.verb, c.chain}, c.rule...), " ")
}

var (
	fromGuests = []string{"-m", "devgroup", "--src-group", fmt.Sprint(Group)}
	hooks      = []command{
		{verb: "-I", chain: entry, rule: strings.Fields(fmt.Sprintf("-m devgroup ! --src-group %d -m rpfilter --invert -j %s", Group, outside))},
		{verb: "-I", chain: entry, rule: append(fromGuests[:4:4], "-j", guests)},
	}
	guardHook = command{verb: "-I", chain: entry, rule: append(fromGuests[:4:4], "-j", guard)}
)

func appended(chain string, rule string) command {
	return command{verb: "-A", chain: chain, rule: strings.Fields(rule)}
}

// jump is the chain that the rule leads to.
func (c command) jump() string { return c.rule[len(c.rule)-1] }

// commands make the chains and what is in them; the hooks come after.
func (f family) commands(h *settings.Host) []command {
	all := []command{
		{verb: "-N", chain: forged},
		{verb: "-N", chain: guests},
		{verb: "-N", chain: outside},
		{"-A", outside, strings.Fields("-m set --match-set " + f.own() + " src -j DROP"), true},
		// A match counts; what is new is added. Only forged packets come here.
		{"-A", forged, strings.Fields("-m set --match-set " + f.counts() + " src,src -j DROP"), true},
		{"-A", forged, strings.Fields("-j SET --add-set " + f.counts() + " src,src"), true},
		appended(forged, "-j DROP"),
		appended(guests, "-m rpfilter --invert -j "+forged),
	}
	all = append(all, f.elsewhere()...)
	if f == six { // whoever has no address yet has neighbour discovery to say, no more
		all = append(all, appended(guests, "-s ::/128 ! -p icmpv6 -j "+forged))
	}
	return append(all, f.host(h)...)
}

// elsewhere is what no packet of a guest may lead to. Clouds have their metadata,
// secrets among it, at a link-local address, and the kernel forwards to those of
// IPv4 (not of IPv6). A routing header leads a packet on; of several the kernel's
// match sees the first alone, so one that leads nowhere is dropped too. Of IPv4's
// source routes the kernel's switch takes care.
//
// Who tells the host that a packet was too big names the destination: the host
// believes it of any, and honours it for the packets of other guests that it forwards
// (IPv6), or for its own. It hears that at its groups' addresses too.
func (f family) elsewhere() []command {
	if f == four {
		return []command{
			appended(guests, "-d 169.254.0.0/16 -j DROP"),
			appended(guests, "-p icmp --icmp-type fragmentation-needed -m addrtype --dst-type LOCAL -j DROP"),
		}
	}
	return []command{
		appended(guests, "-m rt -j DROP"),
		appended(guests, "-p icmpv6 --icmpv6-type packet-too-big -m addrtype --dst-type LOCAL,ANYCAST -j DROP"),
		appended(guests, "-d ff00::/8 -p icmpv6 --icmpv6-type packet-too-big -j DROP"),
	}
}

// host keeps guests from the host's own services, if it should, without connection
// tracking: no TCP connection begins without SYN alone, so all else of TCP answers
// the host; ICMP is ping, errors and neighbour discovery.
func (f family) host(h *settings.Host) []command {
	if h.GuestToHost {
		return nil
	}
	all := []command{
		appended(guests, "-m addrtype ! --dst-type LOCAL,BROADCAST,MULTICAST -j RETURN"),
		appended(guests, "-p icmp -j RETURN"),
		appended(guests, "-p tcp ! --syn -j RETURN"),
	}
	if f == six { // its addrtype looks at groups in another way than at the host's own
		all[0] = appended(guests, "! -d ff00::/8 -m addrtype ! --dst-type LOCAL,ANYCAST -j RETURN")
		all[1] = appended(guests, "-p icmpv6 -j RETURN")
	}
	for _, p := range h.GuestPorts {
		all = append(all, appended(guests, fmt.Sprintf("-p %s --dport %d -j RETURN", p.Protocol, p.Number)))
	}
	return append(all, appended(guests, "-j DROP"))
}
