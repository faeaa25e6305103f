package settings

import (
	"errors"
	"fmt"
	"slices"

	"uml/fault"
)

// ErrNoDisc is said of a disc that is set to be none.
var ErrNoDisc = errors.New("is set to be none")

func parseCowUnsafe(s string) (allow bool, err error) {
	if s != "refuse" && s != "allow" {
		return false, fmt.Errorf("%q is no word on COW discs that are read wrongly (try refuse or allow)", s)
	}
	return s == "allow", nil
}

// Disc is the disc of a name, ubd0 to ubd7: as value says, in the words of the
// setting, or as it is set if value is empty.
func (m *Machine) Disc(name, value string) (Disc, error) {
	stem, n := numberedName(name)
	if stem != "ubd" || !known(name) {
		return Disc{}, fault.SettingBad.Permanent("%q is no device of a machine (try ubd0 to ubd7, or net)", name)
	}
	if value != "" {
		d, err := parseDisc(n, value)
		if err != nil {
			return d, fault.SettingBad.Permanent("%s: %w", name, err)
		}
		d.Sync, err = m.synced(d)
		return d, err
	}
	i := slices.IndexFunc(m.Discs, func(d Disc) bool { return d.N == n })
	if i < 0 {
		return Disc{}, fault.SettingBad.Permanent("%s/settings/%s: %w", m.Dir, name, ErrNoDisc)
	}
	return m.Discs[i], nil
}
