// Package disc makes, grows, copies and looks at the files that are guests' discs
// (paper 2.2.2), for uml-disk.
//
// A file below a machine's jail is its user's: it is made with his rights and reached
// as something hostile. Any other file is the administrator's, in a directory that only
// root can change. What is changed is locked as a start locks it, so that neither
// begins while the other works; what is made has no name until it is whole.
package disc

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// A Place is where a disc's file lies, or is to lie.
type Place struct {
	Path    string            // as it was named, for messages
	Machine *settings.Machine // in whose jail it lies; nil: the host's own
	NoSync  bool              // what is made new may be lost in a power cut

	found settings.Account // whose the file is that was opened, outside of jails

	dir  *handle.Dir // that it lies in, held
	real string      // of dir, without links
	name string      // its own, in dir
	jail string      // dir's name from the jail on, "" for the jail itself
}

// Find says where a file named on the command line lies. Links that lead to its directory
// are followed where they are the administrator's.
func Find(file string) (*Place, error) {
	p := &Place{Path: file, name: path.Base(file)}
	if file == "" || strings.HasSuffix(file, "/") || p.name == "." || p.name == ".." {
		return nil, fault.Permanent("%q is no name of a file", file)
	}
	open := handle.OpenDir
	if os.Geteuid() == 0 {
		open = handle.Follow
	}
	var err error
	if p.dir, err = open(path.Dir(file)); err != nil {
		return nil, fault.Permanent("%s: its directory: %w", file, bare(err))
	}
	if p.real, err = p.dir.Real(); err == nil {
		err = p.whose()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// bare is the kernel's word alone, for who says the path himself.
func bare(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Close lets it go.
func (p *Place) Close() error { return p.dir.Close() }

// whose finds the machine by the topmost directory named jail that has settings beside
// it: the guest's user can make others below.
func (p *Place) whose() error {
	for at := 1; at < len(p.real); at++ {
		next := strings.IndexByte(p.real[at:], '/')
		if next < 0 {
			next = len(p.real) - at
		}
		end := at + next
		machine := path.Clean(p.real[:at])
		if p.real[at:end] == "jail" && isDir(path.Join(machine, "settings")) {
			return p.inJail(machine, strings.Trim(p.real[end:], "/"))
		}
		at = end
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if err := handle.Rooted(p.real); err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return nil
}

func isDir(name string) bool {
	var st unix.Stat_t
	return unix.Lstat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// inJail opens the directory anew, from the machine's own on, which is root's.
func (p *Place) inJail(machine, below string) error {
	m, err := handle.OpenDir(machine)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.RootsAlone(); err != nil {
		return err
	}
	var faults error
	p.Machine, faults = settings.Read(m)
	if p.Machine == nil || p.Machine.User.UID == 0 { // other faults are not ours
		return faults
	}
	p.jail = below
	dir, err := m.Dir(path.Join("jail", below))
	if err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	p.dir.Close()
	p.dir = dir
	return nil
}

// owner is whose what is made here is.
func (p *Place) owner() settings.Account {
	if p.Machine == nil {
		return settings.Account{}
	}
	return p.Machine.User
}

// as does with the filesystem rights of the owner.
func (p *Place) as(do func() error) error {
	if p.Machine == nil || os.Geteuid() != 0 {
		return do()
	}
	return handle.As(p.Machine.User.UID, p.Machine.User.GID, do)
}

// Setting is what a disc of the machine is called in its settings: "ubd0" in the jail,
// or an absolute path.
func (p *Place) Setting() string {
	if p.Machine == nil {
		return path.Join(p.real, p.name)
	}
	return path.Join(p.jail, p.name)
}

// settingOf is what another disc is called in the settings of this one's machine.
func (p *Place) settingOf(other *Place) string {
	if other.Machine != nil && p.Machine != nil && other.Machine.Real == p.Machine.Real {
		return other.Setting()
	}
	return path.Join(other.real, other.name)
}

// disc is the machine's disc that is set to be this file.
func (p *Place) disc() (settings.Disc, bool) {
	if p.Machine != nil {
		for _, d := range p.Machine.Discs {
			if d.File == p.Setting() {
				return d, true
			}
		}
	}
	return settings.Disc{}, false
}

// from is the name that the kernel of a guest which has its COW file at cow opens this
// file by.
func (p *Place) from(cow *Place) string {
	if p.Machine != nil && cow.Machine != nil && p.Machine.Real == cow.Machine.Real {
		return "/" + p.Setting()
	}
	return path.Join(p.real, p.name)
}
