package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"uml/delta"
	"uml/estate"
	"uml/fault"
	"uml/runscript"
)

// A moving is one machine's way.
type moving struct {
	o     Options
	l     *estate.Leaving
	name  string
	host  string
	c     *client
	wants []int
	sums  map[int]*delta.Sums // what the other host has of each file

	offered bool // the other host may have something of it
	ran     bool
	ended   time.Time // when the guest was asked to end; zero: it was not
	sent    int64     // bytes of discs
}

// Move takes a machine to a host, or goes on with that. Its error says where the guest is then.
func Move(ctx context.Context, o Options, name, host string) error {
	m, err := o.begin(name, host)
	if err != nil {
		return err
	}
	defer m.close()
	if m.l.Marked() {
		m.step("%s has it already, or is to: goes on there", host)
		return m.there(m.take(ctx))
	}
	if o.DryRun {
		return m.plan(ctx)
	}
	m.offered = m.l.Begun()
	if err := m.copies(ctx); err != nil {
		if ctx.Err() != nil {
			err = fault.Stopped.Temporary("ended by a signal")
		}
		return m.here(err)
	}
	return m.there(m.take(ctx))
}

func (o Options) begin(name, host string) (*moving, error) {
	l, err := o.Leave(name, host)
	if err != nil {
		if to := o.Away(name); to != "" && l == nil {
			return nil, errors.Join(err, fault.MachineMoved.Permanent("%s was moved to %s", name, to))
		}
		return nil, err
	}
	return &moving{o: o, l: l, name: name, host: host, sums: map[int]*delta.Sums{}}, nil
}

func (m *moving) close() {
	if m.c != nil {
		m.c.close()
	}
	for _, s := range m.sums {
		s.Close()
	}
	m.l.Close()
}

func (m *moving) step(format string, args ...any) {
	if m.o.Step != nil {
		m.o.Step(m.name + ": " + fmt.Sprintf(format, args...))
	}
}

func (m *moving) notes(a *answer) {
	for _, n := range a.Notes {
		m.o.Say("warning: " + m.name + ": " + m.host + ": " + fault.Line(n))
	}
}

// behind says what does not go along, while it can still be put where it does.
func (m *moving) behind() error {
	names, err := m.l.Behind()
	if len(names) == 0 || err != nil {
		return err
	}
	where := "stays here, with the old copy"
	if m.o.Delete {
		where = "goes nowhere, and is lost by --delete"
	}
	m.o.Say(fault.Line(fmt.Sprintf("warning: %s: %s: %s (no setting names it)", m.name, estate.Some(names), where)))
	return nil
}

// here is for what fails while the guest is this host's: it goes on here, if it ran.
func (m *moving) here(err error) error {
	if m.l.Marked() { // the mark itself failed half-way, or what came after
		return m.there(err)
	}
	if !m.ended.IsZero() {
		if up := m.l.Restart(); up != nil {
			err = errors.Join(err, up)
		}
		if m.ran && !m.l.Up && !m.l.Runs() {
			err = errors.Join(err, fault.Temporary("%s: its guest ran, under no supervisor, and is down", m.name))
		}
	}
	if !m.offered {
		return errors.Join(err, m.l.Forget())
	}
	return errors.Join(err, fault.Temporary("%s stays here, and what was sent is kept there: the same command goes on (with --abort it is given up)", m.name))
}

// there is for what fails from the mark on: nobody can start the guest here any more.
func (m *moving) there(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, fault.Temporary("%s is no longer this host's, but %s's to take: the same command goes on (with --abort it comes back, if it was not taken)", m.name, m.host))
}

// copies is all up to the mark.
func (m *moving) copies(ctx context.Context) (err error) {
	m.step("looks at both hosts")
	if err := m.l.Pack(ctx); err != nil {
		return err
	}
	if err := m.behind(); err != nil {
		return err
	}
	if m.c, err = m.o.dial(ctx, m.host); err != nil {
		return err
	}
	if err := m.l.Begin(); err != nil {
		return err
	}
	if err := m.offer(ctx); err != nil {
		return err
	}
	if m.l.Runs() {
		if err := m.rounds(ctx); err != nil {
			return err
		}
	}
	if err := m.stop(ctx); err != nil {
		return err
	}
	if _, err := m.pass(ctx, "what changed"); err != nil {
		return err
	}
	a, err := m.c.ask(&request{Do: doReady})
	if err != nil {
		return err
	}
	m.notes(a)
	if !m.c.keep() {
		return context.Cause(ctx)
	}
	return m.l.Mark()
}

// offer has the other host judge the machine, and learns what it has of it.
func (m *moving) offer(ctx context.Context) error {
	begun := m.offered
	m.offered = true
	a, err := m.c.ask(&request{Do: doOffer, Passport: &m.l.Passport, Errand: m.o.Errand})
	if err != nil {
		if a != nil { // it was heard, and refused
			m.offered = begun
		}
		return err
	}
	m.notes(a)
	m.wants = a.Wants
	for _, n := range m.wants {
		_, size, err := m.l.File(n)
		if err != nil {
			return err
		}
		if m.sums[n], err = delta.New(m.l.Dir()); err != nil {
			return err
		}
		if a.Fresh {
			continue
		}
		if err := m.has(n, size); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// has learns what is there of a file.
func (m *moving) has(n int, size int64) error {
	if err := errors.Join(m.c.c.SendJSON(kindAsk, &request{Do: doSums, File: n}), m.c.c.Flush()); err != nil {
		return m.c.failed(err)
	}
	_, err := m.c.answer(func(kind byte, payload []byte) error {
		return delta.TakeSums(kind, payload, byte(n), size, m.sums[n])
	})
	return err
}

// Rounds while the guest runs: as long as each has much less to send than the one before.
const (
	mostRounds = 4
	little     = 32 << 20 // bytes
)

func (m *moving) rounds(ctx context.Context) error {
	for round, before := 1, int64(0); round <= mostRounds; round++ {
		what := "all of it, while the guest runs"
		if round > 1 {
			what = "what changed meanwhile"
		}
		n, err := m.pass(ctx, what)
		if err != nil {
			return err
		}
		if n < little || round > 1 && n > before/2 {
			return nil
		}
		before = n
	}
	return nil
}

// stop ends the guest, and holds the machine.
func (m *moving) stop(ctx context.Context) error {
	m.ended = time.Now()
	if m.ran = m.l.Runs(); m.ran {
		m.step("the guest is asked to end")
	}
	s, err := m.l.Stop(ctx, m.o.Timeout, m.o.Force)
	if err != nil {
		return err
	}
	if s.Took > 0 {
		m.step("the guest's end: %v", strings.TrimPrefix(s.Line(""), ": "))
	}
	return m.l.Repack()
}

// pass sends what the other host lacks of each file, and compares.
func (m *moving) pass(ctx context.Context, what string) (changed int64, err error) {
	if _, err := m.c.ask(&request{Do: doPass}); err != nil {
		return 0, err
	}
	end := &request{Do: doEnd}
	begun, before := time.Now(), m.sent
	for _, n := range m.wants {
		f, size, err := m.l.File(n)
		if err != nil {
			return 0, err
		}
		told, done := m.work(what, size)
		stats, err := delta.Send(ctx, m.c.c, byte(n), f, size, m.sums[n], told)
		done()
		if err != nil {
			return 0, m.broken(ctx, err)
		}
		changed += stats.Changed
		m.sent += stats.Sent
		sum, err := delta.Root(size, m.sums[n])
		if err != nil {
			return 0, err
		}
		end.Roots = append(end.Roots, root{File: n, SHA256: fmt.Sprintf("%x", sum)})
	}
	if _, err := m.c.ask(end); err != nil {
		return 0, err
	}
	m.step("%s: %s of the discs, %s sent, %.1fs; both have the same", what, amount(changed), amount(m.sent-before), time.Since(begun).Seconds())
	return changed, nil
}

// broken tells a wire that was cut from a disc that cannot be read.
func (m *moving) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil || !m.c.c.Broken() {
		return err
	}
	return m.c.failed(err)
}

// take has the other host make it its own, and takes away what is left here. It is not ended by
// what ends the rest.
func (m *moving) take(ctx context.Context) (err error) {
	if m.c == nil {
		if m.c, err = m.o.dial(ctx, m.host); err != nil {
			return err
		}
		m.c.keep()
	}
	ctx = context.WithoutCancel(ctx)
	a, err := m.c.ask(&request{Do: doTake, Name: m.name, Move: m.l.ID, Activate: m.l.Linked && m.l.Up})
	if err != nil {
		return err
	}
	m.notes(a)
	down := ""
	if !m.ended.IsZero() {
		down = fmt.Sprintf(", %.1fs after its guest was asked to end", time.Since(m.ended).Seconds())
	}
	m.step("is %s's%s", m.host, down)
	kept, err := m.l.Finish(ctx, m.o.Delete)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(m.o.Out, m.summary(kept))
	return err
}

func (m *moving) summary(kept string) string {
	text := fmt.Sprintf("%s: moved to %s", m.name, m.host)
	if !m.l.Linked || !m.l.Up {
		text += ", where it is not activated (it was not up here; there: uml-ctl activate " + m.name + ")"
	}
	if kept != "" {
		text += "; the old copy is " + kept
	}
	return text
}

// Abort takes back a move that was interrupted.
func Abort(ctx context.Context, o Options, name, host string) error {
	m, err := o.begin(name, host)
	if err != nil {
		return err
	}
	defer m.close()
	if !m.l.Begun() && !m.l.Marked() {
		return fault.Permanent("%s: no move of it is under way", name)
	}
	if m.c, err = o.dial(ctx, host); err == nil {
		_, err = m.c.ask(&request{Do: doDrop, Name: name, Move: m.l.ID})
	}
	switch {
	case errors.Is(err, estate.ErrTaken):
		return fault.Permanent("%s is %s's: it was taken there (the same command without --abort ends what is left here; to have it back, move it from there)", name, host)
	case err != nil && m.l.Marked():
		return errors.Join(err, fault.Temporary("%s may have been taken by %s: it stays neither's until that host has answered", name, host))
	case err != nil:
		m.o.Say(fmt.Sprintf("warning: %s: %v: what was sent is still there (there: uml-machine gc --older 0)", name, err))
	}
	if err := m.l.Unmark(); err != nil {
		return err
	}
	if err := errors.Join(m.l.Forget(), m.l.Restart()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s: stays here\n", name)
	return err
}

// plan is a dry run.
func (m *moving) plan(ctx context.Context) (err error) {
	if err := errors.Join(m.l.Pack(ctx), m.behind()); err != nil {
		return err
	}
	if m.c, err = m.o.dial(ctx, m.host); err != nil {
		return err
	}
	a, err := m.c.ask(&request{Do: doJudge, Passport: &m.l.Passport, Errand: m.o.Errand})
	if err != nil {
		return err
	}
	m.notes(a)
	var bytes int64
	for _, n := range a.Wants {
		bytes += m.l.Data(n)
	}
	out := m.o.Out
	fmt.Fprintf(out, "send     %d files, %s, to %s\n", len(a.Wants), amount(bytes), m.host)
	fmt.Fprintf(out, "stop     %s\nunlink   uml-%s, if it is there; end its supervisors\nnet      uml-net down %s\n", m.name, m.name, m.name)
	fmt.Fprintf(out, "mark     %s/%s, and the guest is %s's\n", m.l.Dir(), runscript.MovedTo, m.host)
	if m.o.Delete {
		_, err = fmt.Fprintf(out, "remove   %s\n", m.l.Dir())
	} else {
		_, err = fmt.Fprintf(out, "keep     %s.moved-DATE\n", m.l.Kept())
	}
	return err
}

func (m *moving) work(what string, bytes int64) (func(int64), func()) {
	if m.o.Work == nil {
		return nil, func() {}
	}
	return m.o.Work(m.name+": "+what, bytes)
}

// amount is for people.
func amount(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
