package runscript

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"uml/fault"
	"uml/handle"
	"uml/kernel"
	"uml/ledger"
	"uml/lock"
	"uml/settings"
)

// A Finding is what one check of a start found.
type Finding struct {
	Check string
	Text  string
	Warn  bool     // Text is about something that may be amiss, but would stop no start
	ID    fault.ID // of a Warn
	Err   error    // not nil: what would stop it
}

// State is how far a guest is.
type State int

const (
	Down     State = iota // strays of its last kernel included
	Starting              // somebody holds the lock who is no guest kernel: a start, or uml-jail
	Up
)

// An Examination is what a start of one machine would find now.
type Examination struct {
	Name      string
	Machine   *settings.Machine // nil: its settings have faults
	State     State
	Left      bool         // routes or published addresses stand
	Addresses []netip.Addr // that the guest has when it is up
	Discs     []DiscFile
	Findings  []Finding

	round   *Round
	check   string        // that is going on
	holders []lock.Holder // of the machine's lock
}

// A Round is what the examinations of many machines share. It may examine several
// at once.
type Round struct {
	host      *settings.Host
	locks     lock.Census
	promises  func() (ledger.Standing, error)
	libraries sync.Map // by user and the names that a kernel image has for them
}

// NewRound looks once through all processes for locks.
func NewRound(host *settings.Host) (*Round, error) {
	locks, err := lock.TakeCensus()
	promises := sync.OnceValues(func() (ledger.Standing, error) { return ledger.Look(ledger.File) })
	return &Round{host: host, locks: locks, promises: promises}, err
}

// A DiscFile is a file that the guest has as a disc, a COW disc's backing file or
// its swap.
type DiscFile struct {
	Path     string
	Dev, Ino uint64
	ReadOnly bool
}

// Examine makes every check of a start, one after the other whatever they find,
// and changes nothing; the guest may run meanwhile. It takes no lock, waits for
// nothing, asks no address, and leaves SKAS to its caller: that is the host's.
func (r *Round) Examine(dir string) *Examination {
	e := &Examination{Name: base(dir), round: r}
	s := &start{host: r.host, seen: e, Options: Options{Dir: dir, DryRun: true, Say: e.said}}
	if !e.stage("settings", "", s.seeSettings) && s.dir == nil {
		return e
	}
	defer s.close()
	e.stage("start", "nothing holds a start back", func() error { return errors.Join(s.seeGap(), s.notMoved()) })
	e.stage("lock", "nobody holds it: the guest is down", s.seeLock)
	e.stage("owner", "the machine and its settings are root's alone", s.checkOwner)
	if e.Machine == nil {
		e.check = "structure"
		e.warn("the rest is checked when the settings are mended")
		return e
	}
	s.seeStructure()
	e.stage("shares", "", s.seeShares)
	e.stage("network", "none", s.seeNetwork)
	return e
}

func base(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return path.Base(dir)
}

// stage makes one check: what it says and plans on the way are its findings, then
// each of its faults; if there is nothing, all is well.
func (e *Examination) stage(check, well string, do func() error) bool {
	e.check = check
	before := len(e.Findings)
	err := do()
	for _, part := range fault.Parts(err) {
		e.add(Finding{Err: part})
	}
	if len(e.Findings) == before {
		e.well("%s", well)
	}
	return err == nil
}

func (e *Examination) add(f Finding) {
	f.Check = e.check
	e.Findings = append(e.Findings, f)
}

func (e *Examination) well(format string, args ...any) {
	e.add(Finding{Text: fmt.Sprintf(format, args...)})
}

func (e *Examination) planned(verb, text string) {
	if verb == "make" {
		text += " (made at the start)"
	}
	e.well("%s", text)
}

func (s *start) seeSettings() (err error) {
	e := s.seen
	if s.dir, err = openMachine(s.Dir); err != nil {
		return err
	}
	m, err := settings.Read(s.dir)
	if m == nil {
		s.dir.Close()
		s.dir = nil
		return err
	}
	s.m, e.Name = m, m.Name
	if err != nil {
		return err
	}
	e.Machine = m
	if m.Net.Kind != settings.None {
		e.Addresses = m.Addresses()
	}
	e.well("user %s (%d), mem %v, net %v", m.User.Name, m.User.UID, m.Mem, m.Net.Kind)
	return nil
}

// seeStructure is step 4, each part by itself, so that one fault hides no other.
func (s *start) seeStructure() {
	e := s.seen
	s.makeRoom()
	s.findGroups()
	e.stage("memory", "", func() error { return errors.Join(s.seeLocked(), s.promise()) })
	var in *handle.Dir
	if !e.stage("jail", "root's or the user's own", func() (err error) { in, err = s.openJail(); return err }) {
		return
	}
	defer in.Close()
	s.seeKernel(in)
	e.stage("uml", in.Join("uml")+": the user's", func() error { return s.umlDir(in) })
	e.stage("swap", "none", func() error {
		old, err := s.findSwap(in)
		if err != nil {
			return err
		}
		if old != nil {
			defer old.Close()
		}
		return s.swap(in, old)
	})
}

// seeKernel leaves the arguments out if the image or a disc is at fault: they
// would be others.
func (s *start) seeKernel(in *handle.Dir) {
	var image *kernel.Image
	var discs []settings.Disc
	runs := s.seen.stage("kernel", "", func() (err error) { image, err = s.kernel(in); return err })
	if s.m.Initrd != "" || s.beside.initrd != nil {
		runs = s.seen.stage("initrd", "", func() error { return s.initrd(in, image) }) && runs
	}
	if s.beside.modules != nil {
		runs = s.seen.stage("modules", "", s.modules) && runs
	}
	there := s.seen.stage("disc", "none", func() (err error) { discs, err = s.discs(in); return err })
	if there {
		s.seen.stage("sync", "no disc is written", func() error { s.seePower(discs); return nil })
	}
	if !runs || !there {
		return
	}
	s.seen.stage("arguments", "", func() error {
		args, err := arguments(s.m, s.with(discs), image, s.beside.initrd != nil, s.tapNumber())
		if err != nil {
			return fmt.Errorf("%s: %w", s.m.Kernel, err)
		}
		s.seen.well("%d, network device %s", len(args), device(args))
		return nil
	})
}

// device is the argument that names the network device, which says the transport.
func device(args []string) string {
	for _, a := range args {
		if strings.HasPrefix(a, "vec0:") || strings.HasPrefix(a, "eth0=") {
			return a
		}
	}
	return "none"
}

// said takes what a start would say before it goes on.
func (e *Examination) said(id fault.ID, line string) {
	e.add(Finding{Text: strings.TrimPrefix(line, "warning: "), Warn: true, ID: id})
}

func (e *Examination) warn(line string) { e.said(fault.Warning, line) }
