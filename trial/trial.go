// Package trial boots a throw-away copy of a machine's discs with another kernel, and says
// whether the guest comes up: before a machine that somebody needs is moved to it.
//
// The guest is started by uml-run, in its jail, as a machine of the same name that lies
// beside the real ones for that time, in namespaces of its own: a network in which there is
// nothing but its TAP and ourselves, with the machine's own addresses, and mounts in which
// the machine's discs are there to be read. What it writes goes to COW files on them where
// its kernel can read such rightly, and where the machine is down; else to copies.
//
// Not promised: that a copy of a disc whose guest runs is more than what a power cut
// leaves. Where the filesystem cannot share blocks it may be less.
package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
)

// Options are what is tried.
type Options struct {
	Machine string // its directory
	Kernel  string // the image
	Timeout time.Duration
	Say     func(string) // what is found, as it is
	Log     func(string) // the last of the guest's log, when it did not come up
}

// A trial is one.
type trial struct {
	Options
	m     *settings.Machine
	dir   *handle.Dir // the machine's
	up    bool        // its guest runs
	outer string      // directory of this trial, root's alone
	lock  *os.File    // of that
	at    string      // the machine directory that is tried, in it
	uid   int         // as which the guest runs
	gid   int
}

// Run is nil if the guest came up. Nothing is left of it.
func Run(ctx context.Context, o Options) error {
	if os.Geteuid() != 0 {
		return fault.NeedRoot.Permanent("needs root")
	}
	t := &trial{Options: o}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: it gets namespaces of its own
		ended <- t.run(ctx)
	}()
	err := <-ended
	t.remove() // here nothing is mounted in it
	return err
}

// run is called on a thread of its own. What is opened is so in that thread's mounts: else
// it could not be bound in them.
func (t *trial) run(ctx context.Context) error {
	if err := apart(); err != nil {
		return err
	}
	var err error
	if t.dir, err = handle.OpenDir(t.Machine); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return fault.MachineMissing.Permanent("%s: there is no such machine", t.Machine)
	}
	if err != nil {
		return err
	}
	defer t.dir.Close()
	if t.m, err = settings.Read(t.dir); err != nil {
		return err
	}
	taker, err := lock.Taker(t.dir)
	if err != nil {
		return err
	}
	t.up = taker != nil
	if err := t.stage(); err != nil {
		return err
	}
	if err := errors.Join(t.prepare(ctx), network()); err != nil {
		return fmt.Errorf("the trial of %s: %w", t.m.Name, err)
	}
	return t.boot(ctx)
}

// prefix begins the name of no machine.
const prefix = ".try-"

// stage makes the trial's directory, where the machine's is: its discs can share blocks
// there. What trials that were killed have left is removed.
func (t *trial) stage() error {
	root := t.m.Machines()
	old, _ := filepath.Glob(filepath.Join(root, prefix+"*"))
	for _, dir := range old {
		if f, err := hold(dir); err == nil {
			os.RemoveAll(dir)
			f.Close()
		}
	}
	var err error
	if t.outer, err = os.MkdirTemp(root, prefix); err != nil {
		return err
	}
	if t.lock, err = hold(t.outer); err != nil {
		return err
	}
	t.at = filepath.Join(t.outer, t.m.Name)
	for _, dir := range []string{t.at, t.path("settings"), t.path("jail"), filepath.Join(t.outer, hostName)} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) path(name string) string { return filepath.Join(t.at, name) }

func (t *trial) remove() {
	if t.outer != "" {
		os.RemoveAll(t.outer)
	}
	if t.lock != nil {
		t.lock.Close()
	}
}

// hold locks a directory that a trial is using, which the next one must not remove.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// prepare makes all that the guest is to find.
func (t *trial) prepare(ctx context.Context) error {
	if err := t.account(); err != nil {
		return err
	}
	all, err := t.settings()
	if err != nil {
		return err
	}
	if err := t.discs(ctx, all); err != nil {
		return err
	}
	dir, err := handle.OpenDir(t.at)
	if err != nil {
		return err
	}
	defer dir.Close()
	for name, value := range all {
		if err := settings.Write(dir, name, value); err != nil {
			return err
		}
	}
	return t.host()
}
