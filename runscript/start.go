// Package runscript is the order of a start (paper 3.4): it makes sure that
// starting is safe, and becomes the guest kernel.
//
//  1. settings            read and checked whole
//  2. stop-gaps           wait while starting is not wanted, and for other starts, then from 1
//  3. lock                the guest does not run on this host; there is RAM for it
//  4. structure           kernel, discs, swap: there, and what they should be
//  5. SKAS                this host can trace a guest's processes
//  6. addresses           own leftovers away, then nobody else may answer
//  7. network             claimed
//  8. jail                entered; exec
//
// 5 goes on while 6 waits for answers, and so does the move to the guest's control group,
// for which the kernel waits some milliseconds. A start that fails at 7 or 8 gives
// the addresses back.
package runscript

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"uml/cgroup"
	"uml/cow"
	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/ledger"
	"uml/lock"
	"uml/netsetup"
	"uml/probe"
	"uml/settings"
)

// Options are what the command line says.
type Options struct {
	Dir     string // machine directory
	HostDir string // host settings
	DryRun  bool   // say what would be done, to Out
	Out     io.Writer
	Say     func(fault.ID, string) // one line of what goes on
}

// A start is one machine's way from its settings to its kernel.
type start struct {
	Options
	dir      *handle.Dir
	m        *settings.Machine
	host     *settings.Host
	room     *jail.Jail
	seen     *Examination    // nil but for Examine
	noUml    bool            // uml/ is still to be made
	madeUml  bool            // and was
	keep     []*os.File      // locks, which the kernel inherits
	read     *os.File        // the kernel image
	beside   beside          // what lies where that does
	tap      *os.File        // the TAP that the kernel inherits, if it does
	args     []string        // of the kernel
	pairs    []*cow.Pair     // COW discs to be mended
	promised *ledger.Promise // what stands in the ledger
	before   lock.Note       // that an exec which failed takes back
	left     bool            // another stands there
	up       []string        // of a dry run: what Up would do

	groups   *cgroup.Tree // nil: the guest stays in its supervisor's control group
	noGroups error        // why
	byGroup  bool         // the guest's RAM is kept out of swap by its group
	on       []uint64     // st_dev of its discs' files
}

// open reads the settings (step 1), the host's and the machine's, and reports
// the faults of both.
func open(o Options) (*start, error) {
	if os.Geteuid() != 0 {
		return nil, fault.NeedRoot.Permanent("needs root")
	}
	host, hostErr := settings.ReadHost(o.HostDir)
	dir, err := openMachine(o.Dir)
	if err != nil {
		return nil, errors.Join(hostErr, err)
	}
	m, err := settings.Read(dir)
	if err := errors.Join(hostErr, err); err != nil {
		dir.Close()
		return nil, err
	}
	return &start{Options: o, dir: dir, m: m, host: host}, nil
}

// close lets go of everything, the locks last. Closing is what releases them.
func (s *start) close() {
	if s.room != nil {
		s.room.Close()
	}
	if s.read != nil {
		s.read.Close()
	}
	s.beside.close()
	if s.tap != nil {
		s.tap.Close()
	}
	if s.promised != nil && !isUsers() {
		s.promised.Close()
	}
	s.dir.Close()
	for i := len(s.keep) - 1; i >= 0; i-- {
		s.keep[i].Close()
	}
}

// plan prints a line of a dry run.
func (s *start) plan(verb, format string, args ...any) {
	if !s.DryRun {
		return
	}
	text := fmt.Sprintf(format, args...)
	if s.seen != nil {
		s.seen.planned(verb, text)
		return
	}
	fmt.Fprintf(s.Out, "%-6s %s\n", verb, fault.Line(text))
}

// Start starts the machine's guest. It returns only if that failed; nothing is
// claimed or locked then. It must be called on the main goroutine, locked to
// its thread, which is fit for nothing else afterwards.
func Start(ctx context.Context, o Options) error {
	signals := catch(ctx)
	defer signals.stop()
	ctx = signals.ctx
	p := &pacing{say: o.Say}
	defer p.end()
	for {
		s, err := open(o)
		if err != nil {
			return err
		}
		again, err := s.stopGaps(ctx, p)
		if err == nil && !again {
			again, err = s.takeTurn(ctx, p)
		}
		if err == nil && !again {
			err = s.run(ctx, signals.last)
		}
		s.close()
		if err != nil || !again {
			return err
		}
	}
}

// run takes the start from the lock on (steps 3 to 8).
func (s *start) run(ctx context.Context, last func() error) error {
	if err := errors.Join(s.checkOwner(), s.checkOutput()); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	if err := s.notMoved(); err != nil {
		return err
	}
	if err := s.promise(); err != nil {
		return err
	}
	if err := s.openTUN(); err != nil {
		return err
	}
	if err := s.checks(ctx); err != nil {
		return err
	}
	if s.DryRun {
		return s.planRest()
	}
	// Once more: a second start may have come as far, if the lock file was deleted.
	if err := s.alone(); err != nil {
		return err
	}
	if err := s.mend(ctx); err != nil {
		return err
	}
	news, err := s.claim(ctx)
	if err == nil {
		again := s.announce(news)
		err = s.enter(last)
		again.Stop()
	}
	return errors.Join(err, elsewhere(func() error {
		if s.left {
			lock.TakeBack(s.dir, s.before)
		}
		return errors.Join(s.release(), s.unmakeUml())
	}))
}

// checks is steps 4 to 6. The structure comes first, and with it the locks of the
// discs: a machine lock that was deleted and made anew proves nothing, and a guest
// that runs must not lose its routes to a start that is then refused.
func (s *start) checks(ctx context.Context) error {
	if err := s.structure(); err != nil {
		return err
	}
	if s.DryRun {
		return errors.Join(s.skas(), s.addresses(ctx))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := make(chan error, 1)
	go func() { silent <- s.addresses(ctx) }()
	if err := errors.Join(s.skas(), s.enterGroup()); err != nil {
		cancel()
		<-silent
		return err
	}
	return <-silent
}

// addresses is step 6: nothing of the machine's last run may stand when the
// network is asked, since a stale route would lead the question into its own
// dead TAP.
func (s *start) addresses(ctx context.Context) error {
	if s.m.Net.Kind == settings.None {
		return nil
	}
	on, err := s.asksOn()
	if err != nil {
		return err
	}
	if s.DryRun {
		return s.planAddresses(on)
	}
	if err := s.release(); err != nil {
		return err
	}
	if err := netsetup.Foreign(s.m, s.host); err != nil {
		return err
	}
	if err := netsetup.Prepare(ctx, s.m, s.host); err != nil || on == nil {
		return err
	}
	return s.ask(ctx, on)
}

// asksOn is the interface on which the machine's addresses are asked, nil where
// there is nobody to ask: a bridge that leads to no network.
func (s *start) asksOn() (*netsetup.Interface, error) {
	on, alone, err := AsksOn(s.m, s.host)
	if alone {
		s.Say(fault.BridgeAlone, fmt.Sprintf("bridge %s has no port to a network: no other host can have the addresses, none is asked", s.m.Net.Bridge))
		return nil, err
	}
	return on, err
}

func (s *start) ask(ctx context.Context, external *netsetup.Interface) error {
	result, err := probe.Ask(ctx, external.Name, Probed(s.m), s.host.PingTimeout)
	if err != nil {
		return err
	}
	return s.judge(result, external)
}

func (s *start) release() error { return netsetup.Release(s.m, s.host) }

// elsewhere does on another thread what takes the claims back: this one may be
// the guest's user already, in the jail.
func elsewhere(undo func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not to be reused: this goroutine ends locked
		done <- undo()
	}()
	return <-done
}

// isUsers says whether this thread, the process's first, is the guest's user already. He can
// stop the process then, for good (SIGSTOP), at any line: it is not to hold what other starts
// wait for. What stands in the host's ledger and in the queue ends with the process too.
func isUsers() bool { return os.Getuid() != 0 }

// enter is step 8. It returns only an error.
func (s *start) enter(last func() error) error {
	s.before = lock.Read(s.dir)
	s.left = lock.Leave(s.dir, lock.Note{Up: true, PID: os.Getpid(), Since: time.Now()}) == nil
	if err := s.enterRoom(); err != nil {
		return err
	}
	return s.exec("/"+kernelName, s.args, last)
}

func (s *start) enterRoom() error {
	if err := s.makeUml(); err != nil {
		return err
	}
	return s.room.Enter()
}
