package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/netsetup"
	"uml/runscript"
	"uml/settings"
)

// checkHost is what all machines have in common.
func (c *checker) checkHost() {
	c.rootOwner()
	c.gap()
	c.pace()
	c.kernel()
	c.confinement()
	c.tun()
	c.filesystems()
	c.memory()
	c.swappiness()
	c.shares()
	c.hardlinks()
	c.firewall()
	c.external()
	c.filter()
	c.neighbours()
	c.radvd()
	c.accounts()
}

func (c *checker) gap() {
	dir, err := filepath.Abs(c.Machines)
	if real, e := filepath.EvalSymlinks(dir); e == nil {
		dir = real
	}
	why, _, gapErr := runscript.Gap(dir+"-nostart", c.h.MinUptime)
	switch {
	case errors.Join(err, gapErr) != nil:
		c.host.fail("start", errors.Join(err, gapErr))
	case why != "":
		c.host.warn("start", "no guest starts now: %s", why)
	default:
		c.host.ok("start", "nothing holds starts back: no %s-nostart, up for more than %v", dir, c.h.MinUptime)
	}
}

// tun: opening the device would load its module, so it is only looked at.
func (c *checker) tun() {
	const name = "/dev/net/tun"
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(10, 200) {
		c.host.fail("tun", fault.Permanent("%s: there is no such device (try: modprobe tun)", name))
		return
	}
	misc, err := os.ReadFile("/proc/misc")
	if err == nil && !strings.Contains(string(misc), "200 tun\n") {
		c.host.warn("tun", "%s: its module is not loaded, the first use does that (try: modprobe tun)", name)
		return
	}
	c.host.ok("tun", "%s", name)
}

// filesystems: what is mounted on the host, noexec or not, is of no matter.
func (c *checker) filesystems() {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		c.host.fail("tmpfs", err)
		return
	}
	for _, fs := range []string{"tmpfs", "devpts"} {
		if !strings.Contains(string(text), "\t"+fs+"\n") {
			err = errors.Join(err, fault.Permanent("this kernel has no %s, which each jail mounts (it must be built with it)", fs))
		}
	}
	if err != nil {
		c.host.fail("tmpfs", err)
		return
	}
	c.host.ok("tmpfs", "each jail mounts its own, and devpts; the host's /tmp and /dev/shm are not used")
}

// external: a host without it can still run guests without network.
func (c *checker) external() {
	routed := c.h.External != ""
	for _, m := range c.machines {
		routed = routed || m.Machine != nil && m.Machine.Net.Kind == settings.Routed
	}
	e, err := netsetup.External(c.h)
	if err != nil && !routed {
		c.host.warn("external", "%v", err)
		return
	}
	if err != nil {
		c.host.fail("external", err)
		return
	}
	c.host.ok("external", "%s, %v", e.Name, e.MAC)
	c.proxyARP(e.Name)
	c.forwarding(e.Name)
}

// filter: each machine's own line says whether it is known to the filter; this one
// is of the rules, and of elements that nobody's settings gave.
func (c *checker) filter() {
	guarded := slices.ContainsFunc(c.machines, func(m *machine) bool { return m.Machine != nil && m.Machine.Guarded() })
	s, err := netsetup.LookFilter()
	switch {
	case !guarded && (err != nil || s.Held == 0):
	case err != nil:
		c.host.fail("filter", err)
	case s.Amiss != "" && s.Held == 0:
		c.host.ok("filter", "nft table bridge %s: none yet, the first bridged guest's start makes it", netsetup.FilterTable)
	case s.Amiss != "":
		c.host.fail("filter", fault.Permanent("nft table bridge %s: %s: bridged guests are not held to their addresses (try: uml-net up of one)", netsetup.FilterTable, s.Amiss))
	case len(s.Altered) > 0:
		c.host.fail("filter", fault.Permanent("nft table bridge %s: what it has of %s is not what was last set (try: uml-net down and up of the machine, or uml-net gc)", netsetup.FilterTable, few(s.Altered)))
	default:
		c.host.ok("filter", "nft table bridge %s: every rule stands as it was made, and holds %d TAPs", netsetup.FilterTable, s.Held)
	}
}

func (c *checker) proxyARP(external string) {
	for _, dev := range []string{"all", external} {
		if v, ok := sysctl("net/ipv4/conf/" + dev + "/proxy_arp"); ok && v != 0 {
			c.host.warn("proxy_arp", "net/ipv4/conf/%s/proxy_arp is %d, so the host answers ARP on %s for all that it routes, not only for its guests (try: sysctl -w net/ipv4/conf/%s/proxy_arp=0)", dev, v, external, dev)
			return
		}
	}
	c.host.ok("proxy_arp", "off on %s: only published addresses are answered for", external)
}

// forwarding is switched on for single interfaces: ip_forward is of no matter.
func (c *checker) forwarding(external string) {
	whole, _ := sysctl("net/ipv4/ip_forward")
	own, _ := sysctl("net/ipv4/conf/" + external + "/forwarding")
	word := map[bool]string{true: "on", false: "off, the first start with a network turns it on"}[own != 0]
	note := "ip_forward is 0, and need not be 1"
	if whole != 0 {
		note = "ip_forward is 1: the host forwards between all its interfaces, though guests need only their own"
	}
	c.host.ok("forwarding", "%s: %s; %s", external, word, note)
}

// neighbours: the tables hold every address that is asked or spoken to. When one is
// full, the kernel drops packets and says so only in its log.
func (c *checker) neighbours() {
	addresses := 0
	for _, m := range c.machines {
		addresses += len(m.Addresses)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		name := "net." + family + ".neigh.default.gc_thresh3"
		most, ok := sysctl("net/" + family + "/neigh/default/gc_thresh3")
		switch {
		case !ok: // a network namespace that does not show it
		case addresses > most/2:
			c.host.warn("neighbours", "%s is %d, little for %d addresses of guests (try: sysctl -w %s=%d)", name, most, addresses, name, 4*addresses)
		default:
			c.host.ok("neighbours", "%s is %d, for %d addresses of guests", name, most, addresses)
		}
	}
}

// hardlinks: with protection a guest's user can give no file of others a second
// name, in a jail that lies on the same filesystem.
func (c *checker) hardlinks() {
	if v, ok := sysctl("fs/protected_hardlinks"); ok && v == 0 {
		c.host.warn("hardlinks", "fs.protected_hardlinks is 0: a user can give others' files a name in a jail (try: sysctl -w fs.protected_hardlinks=1)")
		return
	}
	c.host.ok("hardlinks", "protected")
}

// sysctl reads a switch that is a number.
func sysctl(name string) (n int, ok bool) {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscan(string(text), &n)
	return n, err == nil
}
