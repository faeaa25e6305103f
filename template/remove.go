package template

import (
	"errors"
	"os"
	"strings"

	"uml/disc"
	"uml/fault"
	"uml/lock"
)

// Users names the discs of machines below a root that are the template's image or stand on it.
func (t *Template) Users(machines string) ([]string, error) {
	f, err := os.Open(t.Image())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return disc.Users(machines, f)
}

// Remove removes a template that no machine needs. The store is locked.
func (t *Template) Remove(machines string) error {
	f, err := os.Open(t.Image())
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock.TakeDisc(f, false); err != nil { // a guest that runs, a machine that is made
		return err
	}
	users, err := disc.Users(machines, f)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fault.InUse.Permanent("%s: stays, since these stand on it: %s", t.Full(), strings.Join(users, ", "))
	}
	return errors.Join(os.Remove(t.Image()), os.Remove(t.manifest()))
}
