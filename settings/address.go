package settings

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// checkInterface refuses what the kernel or its sysctl tree would: "all" and
// "default" are directories of their own below /proc/sys/net.
func checkInterface(s string) error {
	if !plain(s, unix.IFNAMSIZ-1) || s == "all" || s == "default" || s == "lo" {
		return fmt.Errorf("%q is no interface name (letters, digits, then also . _ -, at most 15)", s)
	}
	return nil
}

func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("%q is no hardware address (try fe:fd:c0:00:02:14)", s)
	}
	if mac[0]&1 != 0 {
		return nil, fmt.Errorf("%q is a multicast address (the first byte must be even)", s)
	}
	if mac.String() == "00:00:00:00:00:00" {
		return nil, fmt.Errorf("%q is no hardware address of a device", s)
	}
	return mac, nil
}

func parseIP4(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s, 32)
	if err != nil || !p.Addr().Is4() {
		return p, fmt.Errorf("%q is no IPv4 address or block (try 192.0.2.20 or 192.0.2.32/29)", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits set outside the block (try %v)", s, p.Masked())
	}
	if p.Bits() < 24 {
		return p, fmt.Errorf("%q is more than 256 addresses, each published by itself (try several /24)", s)
	}
	a := p.Addr()
	if b := a.As4(); a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || b[0] == 0 || b[0] >= 240 {
		return p, fmt.Errorf("%q cannot be a guest's address", s)
	}
	return p, nil
}

func parseIP6(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s, 128)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is no IPv6 prefix (try 2001:db8:0:1::/64)", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits set outside the prefix (try %v)", s, p.Masked())
	}
	if p.Bits() > 64 && p.Bits() < 128 || p.Bits() < 16 {
		return p, fmt.Errorf("%q is not a /64 or larger (try %v)", s, netip.PrefixFrom(p.Addr(), 64).Masked())
	}
	a := p.Addr()
	if a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return p, fmt.Errorf("%q cannot be a guest's prefix", s)
	}
	return p, nil
}

func parsePrefix(s string, bits int) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("has a zone")
	}
	return netip.PrefixFrom(a, min(bits, a.BitLen())), nil
}

// reserved says whether a setting of its own makes the kernel argument.
func reserved(s string) bool {
	const digits = "0123456789"
	name, _, _ := strings.Cut(s, "=")
	switch strings.TrimRight(name, digits) {
	case "con", "ssl", "eth":
		return true
	}
	switch name {
	case "mem", "swap", "umid", "uml_dir", "root", "initrd", "noreboot":
		return true
	}
	if unit, ok := strings.CutPrefix(name, "vec"); ok {
		return strings.HasPrefix(strings.TrimLeft(unit, digits), ":")
	}
	unit, ok := strings.CutPrefix(name, "ubd")
	return ok && strings.TrimFunc(unit, func(r rune) bool { return r < 0x80 && wordByte(byte(r)) }) == ""
}
