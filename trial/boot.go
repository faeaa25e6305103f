package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/mconsole"
)

// A guest is the trial's, from its start on.
type guest struct {
	*trial
	log     *log
	process *os.Process // that started it
	pid     int         // its own
	pingers []*pinger
	input   *os.File // of its terminal, on which nobody says anything
	since   time.Time
	ended   chan error
}

// boot starts the guest, waits until it has come up, or will not, and ends it.
func (t *trial) boot(ctx context.Context) error {
	g := &guest{trial: t, log: &log{}, ended: make(chan error, 1)}
	defer g.close()
	if err := g.start(); err != nil {
		return err
	}
	defer g.end()
	return g.await(ctx)
}

func (g *guest) start() error {
	for _, a := range asked(g.m) {
		p, err := newPinger(a)
		if err != nil {
			return err
		}
		g.pingers = append(g.pingers, p)
	}
	return g.launch()
}

// end ends the guest, and waits for it.
func (g *guest) end() {
	g.process.Signal(unix.SIGTERM)
	<-g.ended
}

func (g *guest) close() {
	if g.input != nil {
		g.input.Close()
	}
	for _, p := range g.pingers {
		p.conn.Close()
	}
}

// look is how often what tells by no event is asked.
const look = 100 * time.Millisecond

// A check is one of the signs of life.
type check struct {
	name  string
	found string // "": not yet
	ask   func(ctx context.Context) (found string)
}

// await waits for all signs of life.
func (g *guest) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	checks := []*check{{name: "answer on its management console", ask: g.mconsole}}
	if len(g.pingers) > 0 {
		checks = append(checks, &check{name: "answer from " + g.pingers[0].addr.String(), ask: g.address})
	}
	checks = append(checks, &check{name: "log-in prompt", ask: g.prompt})
	for missing := len(checks); missing > 0; {
		for _, c := range checks {
			if c.found != "" {
				continue
			}
			if c.found = c.ask(ctx); c.found != "" {
				missing--
				g.Say(fmt.Sprintf("%s after %.1f s", c.found, time.Since(g.since).Seconds()))
			}
		}
		if missing == 0 {
			break
		}
		select {
		case err := <-g.ended:
			g.ended <- err
			return g.failed(checks, "the guest ended ("+status(err)+")", err)
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return g.failed(checks, fmt.Sprintf("not within %v", g.Timeout), nil)
		case <-time.After(look):
		}
	}
	return nil
}

func status(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// failed says what has not come, after the last of the log. What uml-run refuses is told in
// its own words and by its own code.
func (g *guest) failed(checks []*check, why string, err error) error {
	var exit *exec.ExitError
	if text := g.log.refused(); text != "" && errors.As(err, &exit) {
		if exit.ExitCode() == fault.MayPass {
			return fault.Temporary("%s", text)
		}
		return fault.Permanent("%s", text)
	}
	for _, line := range g.log.last(20) {
		g.Log(line)
	}
	var missing []string
	for _, c := range checks {
		if c.found == "" {
			missing = append(missing, "no "+c.name)
		}
	}
	return fault.Permanent("%s did not come up with %s: %s; %s", g.m.Name, g.Kernel, why, strings.Join(missing, ", "))
}

func (g *guest) prompt(context.Context) string {
	if text := g.log.prompt(); text != "" {
		return fmt.Sprintf("prompt %q", text)
	}
	return ""
}

func (g *guest) address(context.Context) string {
	for _, p := range g.pingers {
		if p.ask(look) {
			return p.addr.String() + " answers"
		}
	}
	return ""
}

// mconsole: until uml-run has become the kernel there is none.
func (g *guest) mconsole(ctx context.Context) string {
	c, err := mconsole.Dial(g.pid, g.uid, g.m.Name)
	if err != nil {
		return ""
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	text, err := c.Version(ctx)
	if err != nil {
		return ""
	}
	return "mconsole: " + fault.Line(strings.TrimSpace(text))
}
