package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"uml/test/watch"
)

// silence is how long a guest that nobody touches may be silent on a busy machine.
const silence = 30 * time.Second

// watch looks each two seconds.
func (h *host) watch(ctx context.Context) {
	for n := 0; sleep(ctx, 2*time.Second); n++ {
		h.reach()
		h.twice()
		for i, g := range h.guests {
			if i%5 == n%5 {
				g.identify()
			}
		}
		if n%150 == 0 {
			h.say("%d acts, %d found", h.tally.sum("act"), h.tally.sum("found"))
		}
	}
}

// reach asks every address: those of guests that should be up, and those that nobody has.
func (h *host) reach() {
	for _, g := range h.guests {
		for n := range 3 {
			address := g.ip4(n)
			h.ping.ask(address)
			last := h.ping.answered(address)
			if freed, ok := g.freed.Load(address); ok && last.Sub(freed.(time.Time)) > 3*time.Second {
				g.freed.Delete(address)
				g.find("%s, which it has no more, answers %v later", address, last.Sub(freed.(time.Time)))
			}
		}
		steady, since, epoch := g.state()
		g.mu.Lock()
		last := h.ping.answered(g.address)
		g.mu.Unlock()
		if last.Before(since) {
			last = since
		}
		if _, _, now := g.state(); !steady || epoch != now {
			continue
		}
		h.count("checks", "a guest that should be up answers")
		if time.Since(last) > silence {
			g.be(true) // told once a time
			g.find("is silent for %v, and nobody touched it: %s", time.Since(last).Round(time.Second), h.Lab.Run("uml-ctl", "list", g.name).Out)
		}
	}
}

// identify asks who has the address.
func (g *guest) identify() {
	steady, _, epoch := g.state()
	if !steady {
		return
	}
	g.mu.Lock()
	address := g.address
	g.mu.Unlock()
	said, err := g.ping.shell(address, "hostname", 10*time.Second)
	if _, _, now := g.state(); now != epoch {
		return
	}
	g.count("checks", "the guest at an address is the one it belongs to")
	if said = strings.TrimSpace(said); said != "" && said != g.name {
		g.find("%s answered as %q", address, said)
	} else if said == "" {
		g.note("the shell at %s said nothing: %v", address, err)
	}
}

// A process of a guest's kernel, and the mount namespace that its start made: each start
// makes another, and kernel, helpers and strays of one start have one.
type process struct{ dir, exe, start, namespace string }

// twice looks for processes of two starts of one account at the same time. Those of a killed
// kernel live on until the next start has ended them, before its exec.
func (h *host) twice() {
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*", h.PID))
	first := map[int]process{}
	accounts := map[int]*guest{}
	for _, g := range h.guests {
		accounts[g.UID] = g
	}
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		uid := h.Status(pid).Int("Uid")
		p, ok := look(dir)
		if accounts[uid] == nil || !ok {
			continue
		}
		if old, seen := first[uid]; !seen {
			first[uid] = p
		} else if old.namespace != p.namespace {
			if still, ok := look(old.dir); ok && still == old { // and not one after the other
				accounts[uid].find("runs twice: %+v and %+v", old, p)
			} else {
				first[uid] = p
			}
		}
	}
	h.count("checks", "no account has two kernels")
}

// look: a process that runs a kernel, and is not on its way out.
func look(dir string) (p process, ok bool) {
	exe, err := os.Readlink(dir + "/exe")
	if err != nil || filepath.Base(exe) != "linux" {
		return p, false
	}
	namespace, err := os.Readlink(dir + "/ns/mnt")
	text, err2 := os.ReadFile(dir + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if err != nil || err2 != nil || len(f) < 20 {
		return p, false
	}
	const exiting = 4 // PF_EXITING
	flags, _ := strconv.Atoi(f[6])
	return process{dir, exe, f[19], namespace}, flags&exiting == 0 && f[0] != "Z"
}

// watchDisc has each opening of its disc wait until nobody else can be writing it.
func (h *host) watchDisc(g *guest) *watch.Watch {
	return watch.Disc(h.t, h.Lab, filepath.Join(g.Jail, "ubd0"))
}

// settled: after the last act all are up.
func (h *host) settled() {
	for _, g := range h.guests {
		if steady, _, _ := g.state(); !steady || !g.answers() {
			g.settle("the last act", 0)
		}
	}
}
