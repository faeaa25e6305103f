package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"uml/check"
)

// administer is the host's own life: what cron and an administrator run.
func (h *host) administer(ctx context.Context) {
	random := rand.New(rand.NewPCG(h.seed, 1<<32))
	duties := []struct {
		name string
		do   func()
	}{
		{"uml-net gc", func() { h.duty(nil, "uml-net", "gc") }},
		{"uml-machine gc", func() { h.duty(nil, "uml-machine", "gc") }},
		{"uml-check of all", h.check},
		{"uml-ctl list", h.list},
		{"uml-ctl top", func() { h.duty(nil, "uml-ctl", "top", "-n", "1", "-d", "0.5") }},
		{"uml-net restore", func() { h.duty(nil, "uml-net", "restore") }},
		{"machines-nostart", func() {
			long := time.Duration((5 + 10*random.Float64()) * float64(time.Second))
			h.still.begin()
			h.Must("sh", "-c", `echo "a moment" >"$UML_MACHINES-nostart"`)
			sleep(ctx, long)
			h.Must("sh", "-c", `rm "$UML_MACHINES-nostart"`)
			h.still.end()
		}},
	}
	for {
		d := duties[random.IntN(len(duties))]
		if !sleep(ctx, time.Duration((0.5+random.Float64())*float64(20*time.Second))) {
			return
		}
		h.count("act", "of the host: "+d.name)
		d.do()
	}
}

// duty runs a command for all; what it says is counted by its lines.
func (h *host) duty(codes []int, args ...string) {
	r := h.RunIn("/", args...)
	h.judge(nil, args, r, codes...)
	if args[len(args)-1] == "gc" && r.Out != "" {
		h.count("said", plain(args[0]+" gc: "+r.Out))
	}
}

// untouched returns who is up and touched by nobody from its call to a call of what it returns.
func (h *host) untouched() (still func(*guest) bool) {
	before := map[*guest]int{}
	for _, g := range h.guests {
		if steady, _, epoch := g.state(); steady {
			before[g] = epoch
		}
	}
	return func(g *guest) bool {
		was, ok := before[g]
		_, _, now := g.state()
		return ok && now == was
	}
}

// check: nothing is wrong with who is untouched. With others anything may be: at another address there
// is a moment after it was set and before the guest has ended.
func (h *host) check() {
	untouched := h.untouched()
	r := h.RunIn("/", "uml-check", "--json")
	h.judge(nil, []string{"uml-check", "--json"}, r, 100, 111)
	var all []check.Line
	if err := json.Unmarshal([]byte(r.Out), &all); err != nil {
		h.found(nil, "uml-check --json: %v", err)
	}
	for _, l := range all {
		if l.Status != check.Fail {
			continue
		}
		i := slices.IndexFunc(h.guests, func(g *guest) bool { return g.name == l.Machine })
		if i >= 0 && !untouched(h.guests[i]) {
			h.count("refused", plain("uml-check: "+l.Text))
		} else if i >= 0 {
			h.guests[i].find("uml-check: %+v", l)
		} else {
			h.found(nil, "uml-check: %+v", l)
		}
	}
}

// list: who is steadily up is listed so.
func (h *host) list() {
	untouched := h.untouched()
	r := h.RunIn("/", "uml-ctl", "list", "--json")
	h.judge(nil, []string{"uml-ctl", "list", "--json"}, r)
	var all []struct {
		Name, State string
		PID         int
	}
	if err := json.Unmarshal([]byte(r.Out), &all); err != nil || len(all) != len(h.guests) {
		h.found(nil, "uml-ctl list --json: %d machines, %v", len(all), err)
		return
	}
	for i, g := range h.guests {
		if !untouched(g) {
			continue
		}
		h.count("checks", "a guest that is up is listed so")
		if m := all[i]; m.Name != g.name || m.State != "up" || m.PID == 0 {
			g.find("is up, and listed as %+v", m)
		}
	}
}

// A nostart is when machines-nostart was there: nothing has to start meanwhile.
type nostart struct {
	mu    sync.Mutex
	spans [][2]time.Time
}

func (n *nostart) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spans = append(n.spans, [2]time.Time{time.Now()})
}

func (n *nostart) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spans[len(n.spans)-1][1] = time.Now()
}

// overlap is how much of the time since then it was there.
func (n *nostart) overlap(since time.Time) (sum time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.spans {
		end := s[1]
		if end.IsZero() {
			end = time.Now()
		}
		if s[0].Before(since) {
			s[0] = since
		}
		sum += max(0, end.Sub(s[0]))
	}
	return sum
}
