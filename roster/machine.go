package roster

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
)

// Machine looks at one. Whatever is wrong with it stands in its row; an error is
// that there is no such machine.
func (r *Round) Machine(at string) (*Machine, error) {
	dir, err := r.open(at)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil, fault.MachineMissing.Permanent("%s: there is no such machine: %w", at, unix.ENOENT)
		}
		return nil, err
	}
	defer dir.Close()
	m := &Machine{Name: path.Base(at), Dir: at, Addresses: []string{}, Discs: []Disc{}}
	s, err := r.accounts.Read(dir)
	m.fault(err)
	if s != nil {
		m.Name = s.Name
		m.promise(s)
		m.discs(dir, s)
	}
	m.Activated = r.activated(dir, m.Name)
	r.state(m, dir, s)
	if r.Counting {
		_, m.Counts = lock.Tell(dir)
	}
	return m, nil
}

// open: from the machines root, whose path the kernel need not walk again for each,
// nor tell where that leads.
func (r *Round) open(at string) (*handle.Dir, error) {
	if parent, name := path.Split(at); r.root != nil && path.Clean(parent) == path.Clean(r.machines) {
		if dir, err := r.root.Dir(name); err == nil {
			return dir, nil
		}
	}
	return handle.OpenDir(at) // there is a link in the way, or none
}

// promise is what the settings say.
func (m *Machine) promise(s *settings.Machine) {
	m.Promised, m.Least = int64(s.Mem), int64(s.MemMin)
	if s.Net.Kind == settings.None {
		return
	}
	m.TAP = s.TAP
	m.Addresses = append(m.Addresses, prefixes(s.IP4)...)
	m.Addresses = append(m.Addresses, prefixes(s.IP6)...)
}

// activated: the link there, and to this very directory.
func (r *Round) activated(dir *handle.Dir, name string) bool {
	var link, own unix.Stat_t
	return unix.Stat(path.Join(r.service, "uml-"+name), &link) == nil &&
		unix.Fstat(dir.Fd(), &own) == nil && link.Dev == own.Dev && link.Ino == own.Ino
}

// discs are those that are there. The jail is the guest's user's: each file is
// only looked at.
func (m *Machine) discs(dir *handle.Dir, s *settings.Machine) {
	jail, err := dir.List("jail")
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			m.fault(err)
		}
		return
	}
	defer jail.Close()
	there := names(jail)
	for _, d := range s.Discs {
		if there(d.File) {
			m.disc(jail, fmt.Sprintf("ubd%d", d.N), d.File)
		}
	}
	if s.Swap > 0 {
		m.disc(jail, "swap", "swap")
	}
}

// names says what may be in a jail. Most of the discs that a machine can have it has
// not, and to list them takes less than to ask for each: but not where the guest's
// user has put many names, be they gone again (a directory of ext4 keeps its size, and
// is read whole), or lets nobody list them.
func names(jail *handle.Dir) func(file string) bool {
	const few, small = 64, 16 << 10
	st, err := jail.Stat()
	var all []string
	if err == nil && st.Size <= small {
		all, err = jail.Names(few)
	}
	if err != nil || st.Size > small || len(all) == few {
		return func(string) bool { return true }
	}
	return func(file string) bool {
		first, _, _ := strings.Cut(file, "/")
		return slices.Contains(all, first)
	}
}

// disc leaves out what is missing or no file: uml-check says that.
func (m *Machine) disc(jail *handle.Dir, device, file string) {
	st, err := stat(jail, file)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		m.Discs = append(m.Discs, Disc{device, file, st.Size, st.Blocks * 512})
	}
}

// stat takes one call for a name in the jail itself, as nearly all are.
func stat(jail *handle.Dir, file string) (st unix.Stat_t, err error) {
	if !strings.Contains(file, "/") {
		return jail.Lstat(file)
	}
	f, err := jail.Open(file)
	if err != nil {
		return st, err
	}
	defer f.Close()
	return f.Stat, nil
}
