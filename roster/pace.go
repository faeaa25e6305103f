package roster

import (
	"uml/pace"
	"uml/runscript"
)

func lookAtQueue() (*pace.Standing, error) { return pace.Look(pace.Dir) }

// place is the one that a start has in the queue, as far as who looks may know it.
func (r *Round) place(pid int) string {
	q, err := r.queue()
	if err != nil || q.Place(pid) == 0 {
		return "pace"
	}
	return runscript.Place(q.Place(pid), len(q.Waiting), q.Why)
}
