// Package desk is the service that does for machine accounts what needs root: one
// small process for all machines of a host, which uml-shell asks (package request).
//
// Who asks is what the kernel says of the connection (SO_PEERCRED): the user's id,
// and never the process, which may be another by the time. An account's machine is
// the one whose directory is its home and whose settings name it; a request names
// none. Nothing that an account does makes another wait.
package desk

import (
	"errors"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/rights"
	"uml/seccomp"
	"uml/settings"
)

// Options say where things lie.
type Options struct {
	Machines string // machines root
	Service  string // directory that svscan looks through
	HostDir  string // of the host's settings
	Socket   string
	Group    string // whose accounts may ask; "": all
	Open     bool   // where there can be no namespaces, go on without

	Name string       // of the program
	Say  func(string) // a line of its log
	Args []string     // how it was started, to be started so again, confined
}

// A Desk answers requests.
type Desk struct {
	machines string // without links
	named    string // as it was named
	service  string
	keys     bool // accounts change their own
	journal  *journal
	limits   limits
	busy     busy
}

// Run listens, gives up what is not needed, and serves until the process is ended.
// The calling thread has to be the process's first, and locked.
//
// It runs twice: see package rights.
func Run(o Options) error {
	d, err := newDesk(o)
	if err != nil {
		return err
	}
	if !rights.Confined(o.Name) {
		return confine(o, d)
	}
	name, err := unix.BytePtrFromString(o.Name)
	if err != nil {
		return err
	}
	// The program was executed as "exe"; and its memory is nobody's to look at.
	if err := errors.Join(unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0), unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)); err != nil {
		return err
	}
	if err := seccomp.NoExec(); err != nil {
		return err
	}
	d.journal = newJournal(o.Say)
	d.journal.say("listens at " + o.Socket)
	return d.serve(listenFD)
}

func newDesk(o Options) (*Desk, error) {
	if os.Geteuid() != 0 {
		return nil, fault.NeedRoot.Permanent("needs root")
	}
	machines, err := resolved(o.Machines)
	if err != nil {
		return nil, err
	}
	if err := handle.Rooted(machines); err != nil {
		return nil, err
	}
	named, err := filepath.Abs(o.Machines)
	if err != nil {
		return nil, err
	}
	service, err := filepath.Abs(o.Service)
	if err != nil {
		return nil, err
	}
	host, err := settings.ReadHost(o.HostDir)
	if err != nil {
		return nil, err
	}
	return &Desk{machines: machines, named: named, service: service, keys: host.AccountKeys}, nil
}

func resolved(name string) (string, error) {
	dir, err := handle.OpenDir(name)
	if err != nil {
		return "", fault.Permanent("%w", err)
	}
	defer dir.Close()
	return dir.Real()
}
