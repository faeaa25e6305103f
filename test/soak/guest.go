package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"uml/test/lab"
	"uml/test/watch"
)

// A guest is one machine, and what it should be. One goroutine troubles it; the checks read
// what it should be under the mutex.
type guest struct {
	*lab.Machine
	*host
	number  int
	name    string
	address string
	prefix  string // none if ""
	random  *rand.Rand
	opens   *watch.Watch

	mu      sync.Mutex
	steady  bool // it is up, and nobody is doing anything to it
	since   time.Time
	epoch   int      // of steady
	freed   sync.Map // when, by address
	journal []string
}

// ip4 is the n-th of the guest's own addresses.
func (g *guest) ip4(n int) string { return fmt.Sprintf("192.0.2.%d", 20+3*g.number+n) }

func (g *guest) ip6(n int) string { return fmt.Sprintf("2001:db8:%x::/64", 0x100*(n+1)+g.number) }

func (g *guest) note(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := time.Now().UTC().Format("15:04:05.0 ") + fmt.Sprintf(format, args...)
	if g.journal = append(g.journal, line); len(g.journal) > 30 {
		g.journal = g.journal[1:]
	}
}

func (g *guest) be(steady bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steady, g.since = steady, time.Now()
	g.epoch++
}

// state is what the checks go by.
func (g *guest) state() (steady bool, since time.Time, epoch int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.steady, g.since, g.epoch
}

// live is one guest's hour. What it chooses hangs on the seed alone.
func (g *guest) live(ctx context.Context) {
	round := time.Duration(g.options.guests) * g.every
	for next := time.Now().Add(time.Duration(g.random.Float64() * float64(round))); ; {
		a, again, pause := acts.pick(g.random), g.random.Float64() < 0.2, g.random.Float64()
		blind := blows[g.random.IntN(len(blows))]
		moment := time.Duration(4 * g.random.Float64() * float64(time.Second))
		if !sleep(ctx, time.Until(next)) {
			return
		}
		next = time.Now().Add(time.Duration((0.5 + pause) * float64(round)))
		g.do(a, func() {
			if again { // and another while it comes back
				time.Sleep(moment)
				g.count("act", "then "+blind.name)
				g.note("then, %.1fs later: %s", moment.Seconds(), blind.name)
				blind.do(g)
			}
		})
	}
}

func (g *guest) do(a act, meanwhile func()) {
	g.be(false)
	old := g.pid()
	g.count("act", a.name)
	g.note("%s", a.name)
	a.do(g)
	if a.ends {
		meanwhile()
	} else {
		old = 0
	}
	g.settle(a.name, old)
}

// settle waits until the guest answers by its name, with another kernel than process old.
func (g *guest) settle(after string, old int) {
	begun, asked := time.Now(), false
	for {
		if pid := g.pid(); pid != 0 && pid != old && g.answers() {
			break
		}
		if took := time.Since(begun) - g.still.overlap(begun); took > g.bound && !asked {
			g.find("does not answer %v after %s: %s", took.Round(time.Second), after, g.Lab.Run("uml-ctl", "list", g.name).Out)
			asked = true
		} else if took > 2*g.bound || g.t.Context().Err() != nil {
			return // once more at the next act
		}
		time.Sleep(200 * time.Millisecond)
	}
	took := time.Since(begun)
	g.longest(after, took-g.still.overlap(begun))
	g.note("up, %.1fs", took.Seconds())
	g.be(true)
}

func (g *guest) answers() bool {
	said, err := g.ping.shell(g.address, "hostname", 3*time.Second)
	if said = strings.TrimSpace(said); err != nil || said == "" {
		return false
	}
	if said != g.name {
		g.find("%s answered as %q", g.address, said)
	}
	return said == g.name
}

// inside has the guest's shell run a line; "" if it does not answer.
func (g *guest) inside(line string) string {
	said, err := g.ping.shell(g.address, line, 30*time.Second)
	if err != nil {
		g.note("%q: %v", line, err)
	}
	return said
}

// later: the guest ends by it, when nobody waits for an answer any more.
func (g *guest) later(line string) {
	g.inside("{ sleep 1; " + line + "; } </dev/null >/dev/null 2>&1 &")
}

// pid is the process that its supervise watches.
func (g *guest) pid() int {
	_, rest, _ := strings.Cut(g.Lab.Run("svstat", g.Link()).Out, "up (pid ")
	number, _, _ := strings.Cut(rest, ")")
	pid, _ := strconv.Atoi(number)
	return pid
}

// sleep says whether there is still time.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return ctx.Err() == nil
	}
}
