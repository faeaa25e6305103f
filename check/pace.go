package check

import (
	"errors"

	"uml/fault"
	"uml/pace"
	"uml/pressure"
)

// pace is how guests that start together follow each other, and who waits now.
func (c *checker) pace() {
	p := c.h.Pace
	if p.Slots == 0 {
		c.host.ok("pace", "0: all guests that start together boot together")
		return
	}
	queue, err := pace.Look(pace.Dir)
	if err != nil {
		c.host.fail("pace", fault.Permanent("%s: %w: starts do not wait for each other", pace.Dir, err))
		return
	}
	now, err := pressure.Host()
	switch {
	case errors.Is(err, pressure.ErrNone):
		c.host.warn("pace", "%v: guests boot %d at once whatever the load (try: psi=1 as an argument of the host's kernel)", err, p.Slots)
	case err != nil:
		c.host.fail("pace", err)
	default:
		c.host.ok("pace", "%d guests boot at once, %v at most each, while pressure is not over cpu %d, io %d, memory %d (now %.0f, %.0f, %.0f); slots taken: %d (each until a start that waits sees that its guest has booted), starts that wait: %d",
			p.Slots, p.Limit, p.CPU, p.IO, p.Memory, now.CPU, now.IO, now.Memory, queue.Booting(p.Limit), len(queue.Waiting))
	}
}
