// Package check is uml-check's: every check of a start, of any number of machines,
// the state of the host, and what no start can see, since it would have to compare
// all machines. It changes nothing, takes no lock, and waits for nothing but the
// answers of addresses: one ping-timeout for all that must be silent, one for each
// 256 that should answer.
//
// Not promised: that the next start finds the same. It is a look at what was there
// a moment ago.
package check

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"

	"uml/fault"
	"uml/runscript"
	"uml/settings"
)

// Options are what the command line says.
type Options struct {
	Machines string   // machines root
	HostDir  string   // host settings
	Names    []string // none: all machines of the root, and the host
}

// Run makes all checks.
func Run(ctx context.Context, o Options) *Report {
	c := &checker{Options: o, host: &section{}}
	if os.Geteuid() != 0 {
		c.host.fail("root", fault.NeedRoot.Permanent("only root can look at what a start looks at (try: sudo uml-check)"))
		return c.report()
	}
	c.settings()
	dirs := c.named()
	if c.all() {
		dirs = c.listed()
	}
	c.examine(dirs)
	c.addresses(ctx)
	if c.all() {
		c.compare()
		c.checkHost()
	}
	c.skas()
	return c.report()
}

type checker struct {
	Options
	h        *settings.Host
	host     *section
	machines []*machine
	unknown  []*section // names that are none
}

// A machine is what was found of it. Its own findings come first, then those of
// who compares it with others.
type machine struct {
	*runscript.Examination
	*section
}

func (c *checker) all() bool { return len(c.Names) == 0 }

func (c *checker) settings() {
	h, err := settings.ReadHost(c.HostDir)
	c.h = h
	switch {
	case err != nil:
		c.host.fail("settings", err)
	case c.all():
		c.host.ok("settings", "%s and defaults: publish %v, ping-timeout %v, min-uptime %v, stagger %v to %v", c.HostDir, how(h.Publish), h.PingTimeout, h.MinUptime, h.StaggerLow, h.StaggerHigh)
	}
}

func how(publish bool) string {
	if publish {
		return "proxy"
	}
	return "none"
}

func (c *checker) named() (dirs []string) {
	for _, n := range c.Names {
		dir, err := settings.Locate(c.Machines, n)
		if err != nil {
			s := &section{machine: n}
			s.fail("name", err)
			c.unknown = append(c.unknown, s)
			continue
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// examine looks at several machines at once: they do not depend on each other.
func (c *checker) examine(dirs []string) {
	round, err := runscript.NewRound(c.h)
	if err != nil {
		c.host.fail("locks", err)
		return
	}
	c.machines = make([]*machine, len(dirs))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				c.machines[i] = found(round.Examine(dirs[i]))
			}
		})
	}
	for i := range dirs {
		next <- i
	}
	close(next)
	workers.Wait()
}

func found(e *runscript.Examination) *machine {
	m := &machine{e, &section{machine: e.Name}}
	for _, f := range e.Findings {
		switch {
		case f.Err != nil:
			m.fail(f.Check, f.Err)
		case f.Warn:
			m.add(f.Check, Warn, f.ID, f.Text)
		default:
			m.ok(f.Check, "%s", f.Text)
		}
	}
	return m
}

func (c *checker) skas() {
	if err := runscript.SKAS(); err != nil {
		c.host.fail("skas", err)
		return
	}
	c.host.ok("skas", "a child's system calls can be taken by a guest kernel")
}

func (c *checker) report() *Report {
	r := &Report{}
	r.take(c.host)
	for _, s := range c.unknown {
		r.take(s)
	}
	for _, m := range c.machines {
		r.take(m.section)
	}
	return r
}

// few is a list for a line: its first ones, and how many more.
func few[T any](list []T) string {
	const most = 8
	text := ""
	for i, v := range list {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(list)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(v)
	}
	return text
}
