package balance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/runscript"
	"uml/settings"
)

// Options say what to balance, and how.
type Options struct {
	Machines string
	HostDir  string
	DryRun   bool          // say of each guest what would be done and why
	Time     time.Duration // for each guest's answers
	Young    time.Duration // guests that are up for less are left alone: they boot
	Out      io.Writer
	Say      func(string)
	Log      func(dir string) func(fault.ID, string) // of one machine
}

// lockFile keeps two runs apart. It is gone when the host is booted.
const lockFile = "/run/uml-balance.lock"

// Run looks at all guests that run and moves memory between them. It prints a line for
// each change, and nothing if there is none. It needs root.
func Run(ctx context.Context, o Options) error {
	if os.Geteuid() != 0 {
		return fault.Permanent("needs root")
	}
	host, err := settings.ReadHost(o.HostDir)
	if err != nil {
		return err
	}
	if !o.DryRun {
		f, err := lock()
		if err != nil {
			return err
		}
		defer f.Close()
	}
	s, err := o.look(ctx, host)
	if err != nil {
		return err
	}
	plan := Decide(s.host, s.guests)
	if o.DryRun {
		return o.tell(s, plan)
	}
	o.sayLeft(s.left)
	return o.do(ctx, s, plan)
}

func lock() (*os.File, error) {
	f, err := os.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.Temporary("%s: another uml-balance is at work", lockFile)
		}
		return nil, fmt.Errorf("lock %s: %w", lockFile, err)
	}
	return f, nil
}

// do takes first, and gives what came of it, both side by side.
func (o Options) do(ctx context.Context, s *seen, p Plan) error {
	var mutex sync.Mutex
	var failed error
	all := func(changes []Change) (freed settings.Size) {
		each(len(changes), func(i int) {
			c := changes[i]
			now, err := o.change(ctx, s.dirs[c.Guest], c)
			mutex.Lock()
			defer mutex.Unlock()
			freed += c.From - now
			if now != c.From {
				_, err := fmt.Fprintln(o.Out, c.line(now))
				failed = errors.Join(failed, err)
			}
			if err != nil {
				o.Say(fmt.Sprintf("%s: stays at %v: %v", c.Guest, now, err))
			}
		})
		return freed
	}
	all(afford(p.Gives, p.Own+all(p.Takes)))
	return errors.Join(failed, ctx.Err())
}

// change does one, as far as the guest lets it, and returns what the guest has then.
func (o Options) change(ctx context.Context, dir string, c Change) (now settings.Size, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*o.Time)
	defer cancel()
	g, err := runscript.OpenRAM(ctx, dir)
	if err != nil {
		return c.From, err
	}
	defer g.Close()
	if g.Now() != c.From {
		return c.From, fault.Temporary("has %v by now", g.Now())
	}
	err = g.Resize(ctx, c.From, c.To)
	return g.Now(), err
}

// each does something for n guests, some of them at once: what it waits for is answers.
func each(n int, do func(i int)) {
	const atOnce = 64
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(atOnce, n) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
