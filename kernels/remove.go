package kernels

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"uml/fault"
)

// Remove takes a kernel out of the store that no machine below the root has, and no guest
// runs. The default goes last.
func (s *Store) Remove(name, root string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if !s.has(name) {
		return s.absent(name)
	}
	uses, err := s.machines(root, nil)
	defer closeAll(uses)
	if err != nil { // a machine that cannot be read might have it
		return err
	}
	running, err := programs()
	if err != nil {
		return err
	}
	users, err := s.users(name, uses, running)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		var all []string
		for _, u := range users {
			all = append(all, u.why())
		}
		return s.wrap(name, fault.InUse.Permanent("is in use: %s (uml-kernel roll moves machines to another)", strings.Join(all, ", ")))
	}
	standard, err := s.Default()
	if err != nil {
		return err
	}
	others, err := s.Names()
	if err != nil {
		return err
	}
	if name == standard {
		if len(others) > 1 {
			return s.wrap(name, fault.InUse.Permanent("is the default (make another the default: uml-kernel default NAME)"))
		}
		if err := os.Remove(filepath.Join(s.Dir, defaultName)); err != nil {
			return err
		}
	}
	return s.discard(name)
}

func (u *Use) why() string {
	switch {
	case u.Machine == "":
		return fmt.Sprintf("process %d runs it", u.Running)
	case !u.Set:
		return u.Machine + " runs it until its restart"
	case u.Running != 0:
		return u.Machine + " runs it"
	}
	return u.Machine + "'s settings name it"
}

// discard: it is gone at once, whole, and what is left of it if we are killed is removed by
// the next that adds one.
func (s *Store) discard(name string) error {
	gone := filepath.Join(s.Dir, newName)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(s.Dir, name), gone), syncDir(s.Dir), os.RemoveAll(gone))
}
