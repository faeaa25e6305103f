// Package service is a machine as its supervisor has it: activated, started,
// stopped and deactivated. What a supervisor does to stop a process, TERM, is a
// power cut for a guest: so here the guest's init is asked to end, and only then
// the kernel is told to.
//
// Nothing is remembered between two calls. Whatever was interrupted, the same call
// does what is left to do.
package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"uml/fault"
	"uml/handle"
	"uml/runscript"
	"uml/supervisor"
)

// A Machine is a machine directory, and where it is linked to be activated.
type Machine struct {
	Name string
	Real string // the directory's path, without links

	dir  *handle.Dir
	into string // service directory
}

// Open opens the machine directory dir; service is the directory that svscan,
// runsvdir or s6-svscan looks through.
func Open(dir, service string) (*Machine, error) {
	d, err := handle.OpenDir(dir)
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	real, err := d.Real()
	if err != nil {
		d.Close()
		return nil, err
	}
	return &Machine{Name: path.Base(real), Real: real, dir: d, into: service}, nil
}

// Close lets the machine go.
func (m *Machine) Close() { m.dir.Close() }

// Up has its supervisor start it, and again whenever it ends.
func (m *Machine) Up() error { return m.tell(supervisor.Start) }

// Once has its supervisor start it if it is down, but not again when it ends.
func (m *Machine) Once() error { return m.tell(supervisor.Once) }

// tell gives an order to start; where nobody reads it, the error says what is missing.
func (m *Machine) tell(o supervisor.Order) error {
	err := supervisor.Send(m.dir, o)
	if !errors.Is(err, supervisor.ErrNotRunning) {
		return err
	}
	if linked, e := m.linked(); linked && e == nil {
		return fmt.Errorf("%w (linked into %s: nothing has looked there yet)", err, m.into)
	}
	return fmt.Errorf("%w (try: uml-ctl activate %s)", err, m.Name)
}

// Down keeps it down once it has ended, which its init is asked for: whether it does
// is not waited for. A start is ended.
func (m *Machine) Down(ctx context.Context) error {
	if err := m.awaitDown(ctx); err != nil {
		return err
	}
	h, by, err := runscript.Kernel(m.dir)
	if err != nil {
		return err
	}
	if h == nil {
		return m.endStart(ctx, by, time.Now(), new(Stopped), false)
	}
	k, err := m.hold(h)
	if k == nil || err != nil {
		return err
	}
	defer k.close()
	if err := k.wake(ctx); err != nil {
		return err
	}
	return k.press(ctx, answers)
}

// awaitDown waits until its supervisor has understood.
func (m *Machine) awaitDown(ctx context.Context) error {
	for until := time.Now().Add(enough); ; {
		if _, err := m.keepDown(); err != nil {
			return err
		}
		s, err := supervisor.Read(m.dir)
		if err != nil || !s.Supervised || s.Unread == 0 && s.Want != supervisor.Up {
			return err
		}
		if time.Now().After(until) {
			return m.stuck(0)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// lookAgain is how often is looked at what cannot be waited for.
const lookAgain = 100 * time.Millisecond

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lookAgain):
		return nil
	}
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return fault.NeedRoot.Permanent("needs root")
	}
	return nil
}
