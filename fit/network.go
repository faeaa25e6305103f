package fit

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"uml/job"
)

// network configures the device by what the guest does that with.
func (d *fitting) network() error {
	n := d.f.Network
	if n == nil {
		return nil
	}
	switch {
	case d.program("netplan"):
		d.did.Network = "netplan"
		return d.netplan(n)
	case d.program("ifup") && (d.isDir("etc/network") || d.did.Init == "openrc") && d.did.Init != "busybox":
		d.did.Network = "ifupdown"
		return d.ifupdown(n)
	case d.has("lib/systemd/systemd-networkd") || d.has("usr/lib/systemd/systemd-networkd"):
		d.did.Network = "systemd-networkd"
		return d.networkd(n)
	case d.did.Init == "busybox":
		d.did.Network = "busybox"
		return d.byScript(n)
	}
	if n.Device != "" {
		d.note("nothing that configures a network was found in it (netplan, ifupdown, systemd-networkd, busybox's init)")
	}
	return nil
}

// ours is the first line of what is written whole.
const ours = "# By uml-machine: a change of the machine's settings does not come here by itself.\n"

// ifupdown writes interfaces(5) in words that Debian's ifupdown, ifupdown-ng and busybox have in
// common: those of busybox know no "inet6 auto", and take a prefix's length as a netmask only.
func (d *fitting) ifupdown(n *job.Network) error {
	if err := d.write("etc/network/interfaces", interfaces(n), 0o644); err != nil {
		return err
	}
	if d.did.Init == "openrc" && d.has("etc/init.d/networking") {
		return d.link("/etc/init.d/networking", "etc/runlevels/boot/networking")
	}
	return nil
}

func interfaces(n *job.Network) string {
	var b strings.Builder
	b.WriteString(ours + "auto lo\niface lo inet loopback\n")
	if n.Device == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "\nauto %s\n", n.Device)
	four, six := split(n.Addresses)
	switch {
	case n.DHCP:
		fmt.Fprintf(&b, "iface %s inet dhcp\n", n.Device)
	case len(four) == 0:
		fmt.Fprintf(&b, "iface %s inet manual\n\tup ip link set %s up\n", n.Device, n.Device)
	default:
		fmt.Fprintf(&b, "iface %s inet static\n\taddress %v\n\tnetmask %v\n", n.Device, four[0].Addr(), net.IP(net.CIDRMask(four[0].Bits(), 32)))
		if n.Gateway.IsValid() {
			fmt.Fprintf(&b, "\tgateway %v\n", n.Gateway)
		}
		for _, a := range four[1:] {
			fmt.Fprintf(&b, "\tup ip addr add %v dev %s\n", a, n.Device)
		}
		if !n.Gateway.IsValid() {
			fmt.Fprintf(&b, "\tup ip route add default dev %s\n", n.Device)
		}
	}
	for i, a := range six {
		if i == 0 {
			fmt.Fprintf(&b, "\n# Its other address and its default route come by advertisements.\niface %s inet6 manual\n", n.Device)
		}
		fmt.Fprintf(&b, "\tup ip -6 addr add %v dev %s || true\n", a, n.Device)
	}
	return b.String()
}

// networkd writes systemd.network(5), first of all files there, and has the service started.
func (d *fitting) networkd(n *job.Network) error {
	if n.Device == "" {
		return d.remove("etc/systemd/network/05-uml.network")
	}
	if err := d.write("etc/systemd/network/05-uml.network", dotNetwork(n), 0o644); err != nil {
		return err
	}
	lib := "/lib/systemd/system/"
	if d.has("usr/lib/systemd/system/systemd-networkd.service") {
		lib = "/usr" + lib
	}
	const etc = "etc/systemd/system/"
	for _, l := range []struct{ unit, into string }{
		{"systemd-networkd.service", "multi-user.target.wants/"},
		{"systemd-networkd.socket", "sockets.target.wants/"},
	} {
		if err := d.link(lib+l.unit, etc+l.into+l.unit); err != nil {
			return err
		}
		if d.leads(etc+l.unit) == "null" { // masked
			if err := d.remove(etc + l.unit); err != nil {
				return err
			}
		}
	}
	return d.link(lib+"systemd-networkd.service", etc+"dbus-org.freedesktop.network1.service")
}

func dotNetwork(n *job.Network) string {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s[Match]\nName=%s\n\n[Network]\n", ours, n.Device)
	if n.DHCP {
		b.WriteString("DHCP=ipv4\n")
	}
	fmt.Fprintf(&b, "IPv6AcceptRA=%s\n", yes(n.Auto6))
	for _, a := range n.Addresses {
		fmt.Fprintf(&b, "Address=%v\n", a)
	}
	if n.Gateway.IsValid() {
		fmt.Fprintf(&b, "Gateway=%v\n", n.Gateway)
	} else if four, _ := split(n.Addresses); len(four) > 0 && !n.DHCP {
		b.WriteString("\n[Route]\nDestination=0.0.0.0/0\nScope=link\n")
	}
	return b.String()
}

// netplan writes netplan(5)'s. Files of the template name devices that are not here: they are put
// out of its sight, under another name.
func (d *fitting) netplan(n *job.Network) error {
	const dir, mine = "etc/netplan/", "50-uml.yaml"
	names, err := d.tree.names(strings.TrimSuffix(dir, "/"), maxNames)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != mine && strings.HasSuffix(name, ".yaml") {
			if err := d.root.Rename(dir+name, dir+name+".template"); err != nil {
				return err
			}
		}
	}
	return d.private(dir+mine, yaml(n))
}

const maxNames = 1000

func yaml(n *job.Network) string {
	var b strings.Builder
	b.WriteString(ours + "network:\n  version: 2\n")
	if n.Device == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "  ethernets:\n    %s:\n      dhcp4: %v\n      accept-ra: %v\n", n.Device, n.DHCP, n.Auto6)
	if len(n.Addresses) > 0 {
		b.WriteString("      addresses:\n")
	}
	for _, a := range n.Addresses {
		fmt.Fprintf(&b, "        - \"%v\"\n", a)
	}
	if n.Gateway.IsValid() {
		fmt.Fprintf(&b, "      routes:\n        - to: 0.0.0.0/0\n          via: %v\n", n.Gateway)
	} else if four, _ := split(n.Addresses); len(four) > 0 && !n.DHCP {
		b.WriteString("      routes:\n        - to: 0.0.0.0/0\n          scope: link\n")
	}
	return b.String()
}

// byScript is for busybox's init, which has no custom of its own.
func (d *fitting) byScript(n *job.Network) error {
	const script = "etc/uml-network"
	if err := d.write(script, networkScript(n), 0o755); err != nil {
		return err
	}
	old, err := d.read("etc/inittab")
	if err != nil {
		return err
	}
	return d.write("etc/inittab", runOnce(old, "/"+script), 0o644)
}

func networkScript(n *job.Network) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n" + ours + "ip link set lo up\n")
	if n.Device == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "ip link set %s up\n", n.Device)
	if n.DHCP {
		fmt.Fprintf(&b, "udhcpc -b -i %s\n", n.Device)
	}
	four, six := split(n.Addresses)
	for _, a := range four {
		fmt.Fprintf(&b, "ip addr add %v dev %s\n", a, n.Device)
	}
	for _, a := range six {
		fmt.Fprintf(&b, "ip -6 addr add %v dev %s\n", a, n.Device)
	}
	if n.Gateway.IsValid() {
		fmt.Fprintf(&b, "ip route add default via %v dev %s\n", n.Gateway, n.Device)
	} else if len(four) > 0 && !n.DHCP {
		fmt.Fprintf(&b, "ip route add default dev %s\n", n.Device)
	}
	return b.String()
}

func split(all []netip.Prefix) (four, six []netip.Prefix) {
	for _, p := range all {
		if p.Addr().Is4() {
			four = append(four, p)
		} else {
			six = append(six, p)
		}
	}
	return four, six
}
