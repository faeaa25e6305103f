// Package roster says of all machines of a machines root how they stand: what they
// are promised and take, whether they run, and if not, why.
//
// It starts no process, takes no lock and waits for nothing. What it says was so
// when it looked: a machine may be gone or run when it is read. States are told
// from the supervisor's status file, from one look at /proc/locks for all machines
// and from each kernel's own entries in /proc.
package roster

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/pace"
	"uml/settings"
)

// States of a machine.
const (
	Down     = "down"
	Waiting  = "waiting"  // a start waits for what keeps all guests down
	Starting = "starting" // or is between two of its supervisor's tries
	Up       = "up"
	Paused   = "paused"   // up, and does nothing until it is let go on
	Stopping = "stopping" // to be down, and still there
	Unknown  = "unknown"  // who looks may not see it
	Failing  = "failing"  // the last start failed, the next comes after retry-delay
)

// States are all of these.
var States = []string{Down, Waiting, Starting, Up, Paused, Stopping, Unknown, Failing}

// A Machine is how one stands. The names of its fields in JSON stay as they are;
// fields may be added. Times are RFC 3339, sizes bytes.
type Machine struct {
	Name       string     `json:"name"`
	Dir        string     `json:"dir"`
	Activated  bool       `json:"activated"`  // linked into the service directory
	Supervised string     `json:"supervised"` // by daemontools, runit or s6; "" if by none, or only root may know
	State      string     `json:"state"`
	Why        string     `json:"why,omitempty"`            // of waiting: machines-nostart, min-uptime, stagger, or "pace: place 3 of 27, for a slot"; of failing: the last message; of paused: until when
	WhyID      fault.ID   `json:"why_id,omitempty"`         // of failing: the last message's, as in uml-messages(7)
	Since      *time.Time `json:"since,omitempty"`          // the state, where that is known
	PID        int        `json:"pid,omitempty"`            // of the guest's kernel, or of its start
	Promised   int64      `json:"memory_promised"`          // settings/mem
	Least      int64      `json:"memory_minimum,omitempty"` // settings/mem-min
	Resident   int64      `json:"memory_resident,omitempty"`
	TAP        string     `json:"tap,omitempty"`
	Addresses  []string   `json:"addresses"`
	Discs      []Disc     `json:"discs"`
	Notes      []string   `json:"notes,omitempty"`
	Faults     []string   `json:"faults,omitempty"` // of its settings: it would not start

	Counts lock.Counts `json:"-"` // of its starts, where the round counts
}

// A Disc is a disc's file or the swap's.
type Disc struct {
	Device    string `json:"device"` // ubd0, swap
	File      string `json:"file"`   // below jail/; /annex/ubd3 of an attached one that is not in it
	Size      int64  `json:"size"`
	Allocated int64  `json:"allocated"` // as du(1) counts it
}

func (m *Machine) note(format string, args ...any) {
	m.Notes = append(m.Notes, fault.Line(fmt.Sprintf(format, args...)))
}

func (m *Machine) fault(err error) {
	for _, e := range fault.Parts(err) {
		m.Faults = append(m.Faults, fault.Line(e.Error()))
	}
}

// Dirs are the directories of all machines of a machines root, in natural order.
func Dirs(machines string) (dirs []string, err error) {
	names, err := settings.Machines(machines)
	slices.SortFunc(names, Natural)
	for _, name := range names {
		dirs = append(dirs, filepath.Join(machines, name))
	}
	return dirs, err
}

// Natural compares names as people count: m2 before m10.
func Natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 && x != y {
			return x - y
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// A Round is one look at many machines.
type Round struct {
	Counting bool // starts too, which takes one file more a machine

	machines string
	root     *handle.Dir // that, during a look; nil if it cannot be opened
	service  string
	accounts settings.Accounts
	locks    *lock.Table
	census   func() (lock.Census, error) // of all processes, if a machine needs it
	queue    func() (*pace.Standing, error)
}

// NewRound begins a look. Machines are mostly in the machines root, and activated in
// the directory service.
func NewRound(machines, service string) *Round {
	return &Round{machines: machines, service: service, locks: lock.NewTable(), census: sync.OnceValues(lock.TakeCensus), queue: sync.OnceValues(lookAtQueue)}
}

// atOnce is how many machines are looked at together: more than there are
// processors, so that there is something to do while one waits for a disc, or all
// that have a lock file for the first of them to bring the table of locks.
const atOnce = 64

// Look looks at the machines in these directories, at several at a time, in their
// order. One that is gone is left out if all are asked for.
func (r *Round) Look(dirs []string, all bool) (machines []*Machine, errs error) {
	if root, err := handle.OpenDir(r.machines); err == nil {
		defer root.Close()
		if _, err := root.Real(); err == nil {
			r.root = root
		}
	}
	found, faults := make([]*Machine, len(dirs)), make([]error, len(dirs))
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(atOnce, len(dirs)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(dirs)); i = next.Add(1) - 1 {
				found[i], faults[i] = r.Machine(dirs[i])
			}
		})
	}
	wg.Wait()
	for i, m := range found {
		switch {
		case faults[i] == nil:
			machines = append(machines, m)
		case all && errors.Is(faults[i], unix.ENOENT):
		default:
			errs = errors.Join(errs, faults[i])
		}
	}
	return machines, errs
}
