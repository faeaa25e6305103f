package kernels

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"uml/fault"
)

// A Kernel is one of the list. The names of its fields in JSON stay as they are; fields
// may be added.
type Kernel struct {
	*Manifest
	Image    string `json:"image"` // its file: what a machine's settings name
	Default  bool   `json:"default"`
	Machines []Use  `json:"machines"`
}

// List is all kernels of the store, and which machines below the root have them.
func (s *Store) List(machines string) (all []Kernel, err error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	standard, err := s.Default()
	if err != nil {
		return nil, err
	}
	uses, errs := s.machines(machines, nil)
	defer closeAll(uses)
	running, err := programs()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		m, err := s.Kernel(name)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		k := Kernel{Manifest: m, Image: s.image(name), Default: name == standard}
		if k.Machines, err = s.users(name, uses, running); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, errs
}

// Print prints the list as a table.
func Print(w io.Writer, all []Kernel) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tRELEASE\tTRANSPORTS\tLIBRARIES\tSKAS\tMODULES\tMACHINES")
	for _, k := range all {
		name := k.Name
		if k.Default {
			name += " (default)"
		}
		modules := fmt.Sprint(k.Modules)
		if len(k.Early) > 0 {
			modules += ", initrd " + strings.Join(k.Early, " ")
		} else if k.Initrd {
			modules += ", initrd"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", fault.Line(name), fault.Line(k.Release), strings.Join(k.Transports, " "), k.Link(), strings.Join(k.SKAS, " "), modules, machines(k.Machines))
	}
	return t.Flush()
}

// machines names them: those that run it, and those that will from their next start on.
func machines(uses []Use) string {
	var all []string
	for _, u := range uses {
		text := u.Machine
		switch {
		case u.Machine == "":
			text = fmt.Sprintf("process %d", u.Running)
		case !u.Set:
			text += " (until its restart)"
		case u.Running == 0:
			text += " (from its next start on)"
		}
		all = append(all, text)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(a, b) })
	return cmp.Or(strings.Join(all, ", "), "-")
}

// PrintJSON prints it for programs.
func PrintJSON(w io.Writer, all []Kernel) error {
	if all == nil {
		all = []Kernel{}
	}
	for i := range all {
		if all[i].Machines == nil {
			all[i].Machines = []Use{}
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(all)
}
