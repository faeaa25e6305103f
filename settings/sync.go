package settings

import (
	"errors"
	"fmt"
	"strings"

	"uml/fault"
)

// allDiscs is the place of the discs that no line of the setting names.
const allDiscs = -1

// setSync takes the lines "yes" or "no", for all discs, and "ubd1 no", for one.
func (m *Machine) setSync(lines []string) error {
	if len(lines) == 0 {
		return errEmpty
	}
	var errs []error
	m.sync = map[int]bool{}
	for _, l := range lines {
		n, yes, err := parseSync(l)
		if _, twice := m.sync[n]; err == nil && twice {
			err = fmt.Errorf("%q: there is another line about the same", l)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.sync[n] = yes
	}
	return errors.Join(errs...)
}

func parseSync(s string) (n int, yes bool, err error) {
	f := strings.Fields(s)
	if len(f) == 1 {
		yes, err = parseYes(f[0])
		return allDiscs, yes, err
	}
	stem, n := numberedName(f[0])
	if len(f) != 2 || stem != "ubd" || !known(f[0]) {
		return 0, false, fmt.Errorf("%q: is yes or no for all discs, or for one (try: ubd1 no)", s)
	}
	yes, err = parseYes(f[1])
	return n, yes, err
}

// synced says whether what the guest writes to the disc is on the host's disc
// before the guest hears that it is written: by the disc's own flag s, or the setting
// sync. A disc that is only read needs nothing.
func (m *Machine) synced(d Disc) (bool, error) {
	yes, named := m.sync[d.N]
	switch {
	case d.Sync && named && !yes:
		return false, fault.SettingBad.Permanent("%s/settings/sync: \"ubd%d no\", and the disc has the flag s (remove one of them)", m.Dir, d.N)
	case d.Sync:
		return true, nil
	case d.ReadOnly:
		return false, nil
	case named:
		return yes, nil
	}
	return m.sync[allDiscs], nil
}

func (m *Machine) syncDiscs() error {
	var errs []error
	for i := range m.Discs {
		yes, err := m.synced(m.Discs[i])
		m.Discs[i].Sync = yes
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
