package disc

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// sharers is the fault that other discs of machines below that root have the same backing
// file. A machine whose settings cannot be read might.
func (d *pair) sharers(machines string) error {
	var at unix.Stat_t
	if err := unix.Fstat(int(d.in.Fd()), &at); err != nil {
		return err
	}
	names, err := settings.Machines(machines)
	if err != nil && d.p.Machine == nil {
		return nil // a host without machines
	}
	var others []string
	for _, name := range names {
		has, err := sharer(path.Join(machines, name), &at, d.p)
		if err != nil {
			return err
		}
		if has != "" {
			others = append(others, has)
		}
	}
	if len(others) > 0 {
		return fault.Permanent("%s: is the backing file of %s too, which would be worthless (try: uml-disk cow merge %s --into NEW)", d.base.Path, strings.Join(others, ", "), d.p.Path)
	}
	return nil
}

// sharer names the machine's disc, other than that of one, with this backing file.
func sharer(machine string, at *unix.Stat_t, one *Place) (string, error) {
	dir, err := handle.OpenDir(machine)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	m, err := settings.Read(dir)
	if m == nil {
		return "", err
	}
	for _, d := range m.Discs {
		if d.Backing == "" || one.Machine != nil && one.Machine.Real == m.Real && one.Setting() == d.File {
			continue
		}
		same, err := leadsTo(dir, d.Backing, at)
		if err != nil {
			return "", err
		}
		if same {
			return m.Name + "'s " + d.File, nil
		}
	}
	return "", nil
}

func leadsTo(dir *handle.Dir, backing string, at *unix.Stat_t) (bool, error) {
	var f *handle.File
	var err error
	if path.IsAbs(backing) {
		f, err = handle.Open(backing)
	} else {
		f, err = dir.Open(path.Join("jail", backing))
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return f.Same(at), nil
}
