package disc

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"uml/handle"
	"uml/settings"
)

// sharers names the discs of machines below that root, other than one, which may be nil,
// that have base as their backing file. A machine whose settings cannot be read might.
func sharers(machines string, base, one *os.File) (all []string, err error) {
	var at, own unix.Stat_t
	if err := unix.Fstat(int(base.Fd()), &at); err != nil {
		return nil, err
	}
	if one != nil {
		if err := unix.Fstat(int(one.Fd()), &own); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(machines); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a host without machines
	}
	names, err := settings.Machines(machines)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		has, err := sharer(path.Join(machines, name), &at, &own)
		if err != nil {
			return nil, err
		}
		all = append(all, has...)
	}
	return all, nil
}

// sharer names the machine's discs, other than the file own, with this backing file.
func sharer(machine string, at, own *unix.Stat_t) (all []string, err error) {
	dir, err := handle.OpenDir(machine)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	m, err := settings.Read(dir)
	if m == nil {
		return nil, err
	}
	for _, d := range m.Discs {
		if d.Backing == "" {
			continue
		}
		same, err := leadsTo(dir, d.Backing, at)
		if err != nil {
			return nil, err
		}
		if !same {
			continue
		}
		if same, err = leadsTo(dir, d.File, own); err != nil {
			return nil, err
		}
		if !same {
			all = append(all, m.Name+"'s "+d.File)
		}
	}
	return all, nil
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
