package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"

	"uml/fault"
	"uml/settings"
)

// Evacuate takes all machines to a host, so many at a time. What fails of one is no matter to the
// others. A plan only says what would fit there, beside one another.
func Evacuate(ctx context.Context, o Options, host string, jobs int, plan bool) error {
	if jobs < 1 {
		return fault.Usage.Permanent("--jobs %d: at least one at a time", jobs)
	}
	names, err := settings.Machines(o.Machines)
	if err != nil {
		return err
	}
	if plan {
		return o.fits(ctx, names, host)
	}
	var mu sync.Mutex
	o.Out = &locked{w: o.Out, mu: &mu}
	o.Work = nil // one bar is for one
	errs := make([]error, len(names))
	next := make(chan int)
	var work sync.WaitGroup
	for range jobs {
		work.Go(func() {
			for i := range next {
				if errs[i] = Move(ctx, o, names[i], host); errs[i] != nil {
					o.Say(fmt.Sprintf("warning: %s: %s", names[i], fault.Line(errs[i].Error())))
				}
			}
		})
	}
	for i := range names {
		if ctx.Err() != nil {
			errs[i] = context.Cause(ctx)
			continue
		}
		next <- i
	}
	close(next)
	work.Wait()
	return summed(names, errs, host)
}

func summed(names []string, errs []error, host string) error {
	moved, last := 0, error(nil)
	for _, err := range errs {
		if err == nil {
			moved++
		} else if last == nil || fault.Code(err) == fault.MustMend {
			last = err
		}
	}
	if last == nil {
		return nil
	}
	text := "%d of %d machines are on " + host + ": see what was said of the others, and say it again"
	if fault.Code(last) == fault.MustMend {
		return fault.Permanent(text, moved, len(names))
	}
	return fault.Temporary(text, moved, len(names))
}

type locked struct {
	w  io.Writer
	mu *sync.Mutex
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// fits prints what of the machines has room there, one beside the other: one talk judges all.
func (o Options) fits(ctx context.Context, names []string, host string) error {
	c, err := o.dial(ctx, host)
	if err != nil {
		return err
	}
	defer c.close()
	t := tabwriter.NewWriter(o.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "MACHINE\tMEM\tTO SEND\tON "+host)
	var faults []error
	for _, name := range names {
		mem, bytes, err := o.fit(ctx, c, name, host)
		verdict := "fits"
		if err != nil {
			verdict = fault.Line(err.Error())
			faults = append(faults, err)
			if c.c.Broken() {
				return err
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, mem, amount(bytes), verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(faults) > 0 {
		code := errors.Join(faults...)
		if fault.Code(code) == fault.MustMend {
			return fault.Permanent("%d of %d machines do not fit", len(faults), len(names))
		}
		return fault.Temporary("%d of %d machines do not fit", len(faults), len(names))
	}
	return nil
}

func (o Options) fit(ctx context.Context, c *client, name, host string) (mem string, bytes int64, err error) {
	m, err := o.begin(name, host)
	if err != nil {
		return "?", 0, err
	}
	m.c = nil
	defer m.close()
	if err := m.l.Pack(ctx); err != nil {
		return "?", 0, err
	}
	mem = m.l.Memory().String()
	a, err := c.ask(&request{Do: doJudge, Passport: &m.l.Passport, Errand: o.Errand})
	if err != nil {
		return mem, 0, err
	}
	for _, n := range a.Wants {
		bytes += m.l.Data(n)
	}
	return mem, bytes, nil
}
