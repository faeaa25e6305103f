package settings

import (
	"errors"
	"fmt"
	"net/netip"

	"uml/fault"
)

// linkLocal is where every IPv6 host has an address of its hardware address.
var linkLocal = netip.MustParsePrefix("fe80::/64")

// LinkLocal is the address that the guest's kernel gives its device by itself.
func (m *Machine) LinkLocal() netip.Addr { return m.Autoconfigured(linkLocal) }

// Guarded says whether the host holds the guest to its own addresses on its
// bridge.
func (m *Machine) Guarded() bool { return m.Net.Kind == Bridged && !m.Spoof }

func parseSpoof(s string) (allow bool, err error) {
	if s != "deny" && s != "allow" {
		return false, fmt.Errorf("%q is no word on forged addresses (try deny or allow)", s)
	}
	return s == "allow", nil
}

func parseYes(s string) (bool, error) {
	if s != "yes" && s != "no" {
		return false, fmt.Errorf("%q is neither yes nor no", s)
	}
	return s == "yes", nil
}

// checkNet finds what does not go with the kind of network.
func (m *Machine) checkNet() error {
	var errs []error
	fail := func(name, format string, args ...any) {
		errs = append(errs, fault.SettingBad.Permanent("%s/settings/%s: %s", m.Dir, name, fmt.Sprintf(format, args...)))
	}
	if m.noNet {
		return nil
	}
	for _, p := range m.IP6 {
		switch {
		case m.Net.Kind == Bridged && p.Bits() != 64 && p.Bits() != 128:
			fail("ip6", "%q: a bridged guest has a /64 of its segment or single addresses, no prefix of its own (try routed in settings/net)", p)
		case m.Net.Kind != Bridged && p.Bits() == 128:
			fail("ip6", "%q is a single address, which only a bridged guest has (try %v)", p.Addr(), netip.PrefixFrom(p.Addr(), 64).Masked())
		}
	}
	if m.Net.Kind != Bridged {
		for _, name := range m.ofBridged {
			fail(name, "is for a bridged machine, and net is %v (remove the file)", m.Net.Kind)
		}
	}
	return errors.Join(errs...)
}
