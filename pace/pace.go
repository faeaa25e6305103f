// Package pace has guests start a few at a time when many are to start at once (paper 3.4
// has each wait a random time). A start takes one of a number of slots, which its guest
// has until it has booted; and while one boots, the next waits for the host's pressure to
// fall too (PSI). Who cannot go on waits in a queue: by priority, then by arrival.
//
// Nothing of ours watches a boot. A slot is a file that names the process which becomes
// the kernel, and who looks at it is the first of the queue: whether that process is gone,
// whether its guest shows a sign of life, whether it has had its time. All others sleep in
// the kernel until the one before them has gone: they cost nothing.
//
// The queue is a directory. Names in it change under a lock of the directory alone, and
// whose process has ended they are nobody's: a ticket in the queue is locked by its owner,
// a slot tells when its owner was started. So there is nothing to mend after a kill,
// wherever it strikes.
//
// Not promised: that a guest which answers has booted. That is its own word, and at worst
// others start sooner.
package pace

import (
	"context"
	"fmt"
	"time"

	"uml/pressure"
	"uml/process"
	"uml/settings"
)

// Dir is the host's queue. It is gone when the host is booted.
const Dir = "/run/uml-run.pace"

// look is how often the first of the queue looks.
const look = 200 * time.Millisecond

// A Start is what is to go on.
type Start struct {
	Guest
	Priority int
	Dir      string                                         // the queue's directory
	Pace     func() settings.Pace                           // as it is set now: it is asked at each look
	Booted   func(_ context.Context, pid int, g Guest) bool // whether a guest shows a sign of life; known before the context ends
	Waits    func(place, of int, why string)                // told once, when the wait begins
	Gather   time.Duration                                  // it stands in the queue for that long first, while others come

	own      process.ID                    // the zero one is this process
	pressure func() (pressure.Some, error) // the host's if nil
}

// A Slot is held until its guest has booted, or until Close: through the exec too, of
// which the kernel inherits nothing.
type Slot struct {
	dir  string
	boot boot
}

// Take waits until the guest may start, as long as that may be. Nil without an error:
// there is nothing to pace, or another process starts the same guest, and the machine's
// lock is to tell which one does. Waited says that time has passed meanwhile.
//
// An error that is not ctx's cause means that the queue cannot be used.
func Take(ctx context.Context, s Start) (slot *Slot, waited bool, err error) {
	if s.Pace().Slots == 0 {
		return nil, false, nil
	}
	q, err := s.join()
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", s.Dir, err)
	}
	defer q.close()
	if err := q.gather(ctx); err != nil {
		return nil, false, err
	}
	for looked := false; ; {
		t, err := q.turn(ctx)
		if err != nil || t.why == "" {
			return t.slot, waited, err
		}
		if !waited && (looked || t.before != nil) {
			waited = true
			s.Waits(t.place, t.of, t.why)
		}
		if t.before != nil {
			err = t.before.wait(ctx)
		} else {
			err, looked = q.look(ctx, t.boots), true
		}
		if err != nil {
			return nil, waited, err
		}
	}
}

// Close lets the slot go, of a start that has failed. The thread must be root's, and the
// host's.
func (s *Slot) Close() error {
	if s == nil {
		return nil
	}
	d, err := open(s.dir)
	if err != nil {
		return err
	}
	defer d.close()
	return d.hold(context.Background(), func() error { return d.end(s.boot) })
}
