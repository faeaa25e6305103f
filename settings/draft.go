package settings

import (
	"errors"
	"maps"
	"net/netip"
	"path"
	"slices"

	"uml/fault"
	"uml/handle"
)

// Draft is the machine that would be read from the directory real if these were its
// settings, the text of each file by its name, and this its account: neither need be
// there yet. Every fault names the setting; all are joined.
func Draft(real string, user Account, texts map[string]string) (*Machine, error) {
	m := &Machine{Dir: real, Real: real, Name: path.Base(real)}
	if err := CheckName(m.Name); err != nil {
		return nil, fault.SettingBad.Permanent("%w", err)
	}
	m.defaults()
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if !known(name) {
			faults = append(faults, fault.SettingBad.Permanent("%s: %s", name, unknown(name)))
			continue
		}
		for _, err := range fault.Parts(m.set(name, splitLines(texts[name]))) {
			faults = append(faults, fault.SettingBad.Permanent("%s: %w", name, err))
		}
	}
	m.User.Name = user.Name
	finish := m.finish(&handle.Dir{Path: real}, func(string) (Account, error) { return user, nil })
	for _, err := range []error{m.checkSeccomp(), finish, m.checkNet(), m.syncDiscs()} {
		if err != nil {
			faults = append(faults, err)
		}
	}
	return m, errors.Join(faults...)
}

// FindAccount is an account of this host that a guest may run as.
func FindAccount(name string) (Account, error) { return lookup(name) }

// Claimed are the prefixes of which no other machine may have a part: of the prefixes of
// its segment, which others have too, a bridged machine has single addresses.
func (m *Machine) Claimed() []netip.Prefix {
	if m.Net.Kind != Bridged {
		return slices.Concat(m.IP4, m.IP6)
	}
	all := slices.Clone(m.IP4)
	for i := range m.IP6 {
		for _, a := range m.Addresses6(i) {
			all = append(all, netip.PrefixFrom(a, 128))
		}
	}
	return all
}
