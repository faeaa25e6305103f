package disc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/handle"
	"uml/settings"
)

// Users names the discs of machines below that root that are this file, or stand on it: by
// the machine's settings, or by the header of a COW file that is a disc without a backing
// file in the settings.
func Users(machines string, f *os.File) (all []string, err error) {
	var at unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &at); err != nil {
		return nil, err
	}
	if _, err := os.Stat(machines); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a host without machines
	}
	names, err := settings.Machines(machines)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		has, err := usedBy(path.Join(machines, name), &at)
		if err != nil {
			return nil, err
		}
		all = append(all, has...)
	}
	return all, nil
}

func usedBy(machine string, at *unix.Stat_t) (all []string, err error) {
	dir, err := handle.OpenDir(machine)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	m, err := settings.Read(dir)
	if m == nil {
		return nil, fmt.Errorf("%s might have it as a disc: %w", machine, err)
	}
	for _, d := range m.Discs {
		backing := d.Backing
		if backing == "" {
			backing = named(dir, d.File)
		}
		for _, file := range []string{d.File, backing} {
			if file == "" {
				continue
			}
			same, err := leadsTo(dir, file, at)
			if err != nil {
				return nil, err
			}
			if same {
				all = append(all, fmt.Sprintf("%s's ubd%d (%s)", m.Name, d.N, d.File))
				break
			}
		}
	}
	return all, nil
}

// named is the backing file that the header of a COW file in the jail names by an absolute
// path, as the kernel in the jail has it. It is the guest's word, and only keeps a file.
func named(dir *handle.Dir, file string) string {
	if path.IsAbs(file) {
		return ""
	}
	at, err := dir.Open(path.Join("jail", file))
	if err != nil {
		return ""
	}
	defer at.Close()
	if at.Regular() != nil {
		return ""
	}
	f, err := at.Reopen(unix.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close()
	h, err := cow.Read(f)
	if err != nil || !path.IsAbs(h.Backing) {
		return ""
	}
	return path.Clean(h.Backing)
}
