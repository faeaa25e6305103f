package pace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"uml/pressure"
	"uml/process"
	"uml/settings"
)

// A queue is one start's part in it.
type queue struct {
	Start
	*directory
	me     string  // the name that its ticket has, or would have
	ticket *ticket // nil: it is not in the queue
	why    string  // that stands in its ticket
	booted []boot  // that have shown a sign
}

func (s Start) join() (q *queue, err error) {
	if s.own.PID == 0 {
		if s.own, err = process.Self(); err != nil {
			return nil, err
		}
	}
	if s.pressure == nil {
		s.pressure = pressure.Host
	}
	d, err := open(s.Dir)
	if err != nil {
		return nil, err
	}
	return &queue{Start: s, directory: d, me: ticketName(s.Priority, now(), s.own.PID)}, nil
}

// close leaves the queue, if it was in it: who waits for this one wakes up. Where the
// directory cannot be locked, that one removes the ticket.
func (q *queue) close() {
	if q.ticket != nil {
		q.hold(context.Background(), func() error { return q.Remove(q.me) })
		q.ticket.f.Close()
	}
	q.directory.close()
}

// gather has it in the queue, and looks at nothing yet.
func (q *queue) gather(ctx context.Context) error {
	if q.Gather == 0 {
		return nil
	}
	if err := q.hold(ctx, func() error { return q.stand("its turn") }); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(q.Gather):
		return nil
	}
}

// A turn is what a look at the queue came to.
type turn struct {
	why       string  // it waits for that; "": it goes on
	slot      *Slot   // that it has then, if any
	before    *ticket // whose turn is before; nil if it is the first
	place, of int
	boots     []boot
}

// turn looks, and takes a slot or a ticket.
func (q *queue) turn(ctx context.Context) (t turn, err error) {
	pace := q.Pace()
	err = q.hold(ctx, func() (err error) {
		for _, b := range q.booted {
			err = errors.Join(err, q.end(b))
		}
		q.booted = nil
		names, e := q.names()
		if err = errors.Join(err, e); err != nil || pace.Slots == 0 {
			return err
		}
		return q.decide(&t, pace, names)
	})
	if err != nil && t.before != nil {
		t.before.f.Close()
	}
	return t, err
}

func (q *queue) decide(t *turn, pace settings.Pace, names []string) (err error) {
	if t.boots, err = q.standing(names, pace.Limit); err != nil {
		return err
	}
	if slices.ContainsFunc(t.boots, func(b boot) bool { return b.User == q.User && b.ID != q.own }) {
		return nil // the lock tells which of the two starts
	}
	queue := slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, waits) || n == q.me })
	slices.Sort(queue)
	at, _ := slices.BinarySearch(queue, q.me)
	t.place, t.of = at+1, len(queue)+1
	if t.before, err = q.last(queue[:at]); err != nil {
		return err
	}
	if t.before != nil {
		t.why = "its turn"
		return q.stand(t.why)
	}
	if t.why = judge(pace, len(t.boots), q.pressure); t.why != "" {
		return q.stand(t.why)
	}
	b := boot{q.own, now(), q.Guest}
	t.slot = &Slot{q.Dir, b}
	return q.begin(b)
}

// judge says what the first of the queue waits for. Where nobody boots it waits for
// nothing: pressure that guests' boots do not make may last for ever.
func judge(pace settings.Pace, boots int, pressure func() (pressure.Some, error)) (why string) {
	switch {
	case boots == 0:
		return ""
	case boots >= pace.Slots:
		return "a slot"
	}
	p, err := pressure()
	if err != nil { // uml-check says so
		return ""
	}
	return over(p, pace)
}

// last is the last ticket of those whose owner is there, opened.
func (q *queue) last(names []string) (*ticket, error) {
	for i := len(names) - 1; i >= 0; i-- {
		if t, err := q.live(names[i]); t != nil || err != nil {
			return t, err
		}
	}
	return nil, nil
}

// stand is in the queue with a ticket, in which stands what for.
func (q *queue) stand(why string) error {
	if q.ticket == nil {
		f, err := q.write(q.me)
		if err != nil {
			return err
		}
		q.ticket = &ticket{name: q.me, pid: q.own.PID, f: f}
	}
	if q.why == why {
		return nil
	}
	q.why = why
	return errors.Join(q.ticket.f.Truncate(0), func() error { _, err := q.ticket.f.WriteAt([]byte(why), 0); return err }())
}

// look waits for a look's time, or until one of those who boot has booted.
func (q *queue) look(ctx context.Context, boots []boot) error {
	limit, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	found := make([]bool, len(boots))
	var wg sync.WaitGroup
	for i, b := range boots {
		wg.Go(func() { found[i] = q.Booted(limit, b.PID, b.Guest) })
	}
	wg.Wait()
	for i, b := range boots {
		if found[i] {
			q.booted = append(q.booted, b)
		}
	}
	if len(q.booted) == 0 {
		<-limit.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
