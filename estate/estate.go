// Package estate makes machines of templates, copies, renames and removes them
// (paper 2.4, 3.2).
//
// All or nothing: a machine is made in the directory .new of the machines root, whose names are
// no machines', and is moved to its place when it is whole. What a killed program leaves is
// there, with a note beside it which says whose account was made for it: the next one of that
// name, or Collect, removes both. A machine that is removed goes the other way.
//
// What is inside a guest's filesystem is read and changed by a throw-away guest alone (package
// appliance), that runs as the account of the machine that is made.
package estate

import (
	"io"
	"os"
	"path/filepath"

	"uml/fault"
	"uml/handle"
)

// Options are where things lie, and whom to tell.
type Options struct {
	Machines  string // machines root
	Service   string // what svscan looks through
	HostDir   string // the host's settings
	Templates string
	Kernels   string

	Out    io.Writer
	Step   func(string) // what is done now
	Say    func(string) // what is amiss all the same
	Work   func(what string, bytes int64) (told func(bytes int64), done func())
	DryRun bool // say to Out what would be done
}

// root is the machines root, without links, in which nobody but root can put anything.
func (o Options) root() (string, error) {
	if os.Geteuid() != 0 {
		return "", fault.NeedRoot.Permanent("needs root")
	}
	real, err := filepath.EvalSymlinks(o.Machines)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return "", fault.Permanent("%s: there is no such directory (mkdir it)", o.Machines)
	}
	return real, handle.Rooted(real)
}
