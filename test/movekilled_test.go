package test

import (
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"uml/test/cutter"
	"uml/test/lab"
)

// An ending is where a move is ended, and who ends there.
type ending struct {
	cutter.Frame
	who string
}

func (e ending) String() string { return e.Frame.String() + ": " + e.who }

// whos are who may end: ssh, and with it the frame; the program here, whose frame goes on all the
// same; the one there; all of them; and the program here by Ctrl-C.
var whos = []string{"wire", "client", "server", "all", "interrupt"}

// few are for every day: each of a kind of its own.
var few = []ending{
	{cutter.Frame{Label: "> D", Number: 3}, "wire"},
	{cutter.Frame{Label: "< A offer", Number: 1}, "wire"},
	{cutter.Frame{Label: "> Q ready", Number: 1, Passed: true}, "server"},
	{cutter.Frame{Label: "> Q ready", Number: 1}, "interrupt"},
	{cutter.Frame{Label: "> Q take", Number: 1}, "wire"},
	{cutter.Frame{Label: "> Q take", Number: 1, Passed: true}, "client"},
	{cutter.Frame{Label: "< A take", Number: 1}, "all"},
}

// A killing is a guest whose moves are ended.
type killing struct {
	*twins
	t        *testing.T
	name, ip string
	at       int // host
	s        *scribe
	w        *sentry
	did      map[string]int
}

// Wherever a move is ended, and whoever ends: there is one owner or, between mark and take, none; the
// same command goes on to the end, or --abort takes it back; nothing that the guest has promised is
// lost, and the router finds it. make faults tries each frame of a move and of one that goes on, both
// before it has gone on and after, and then again in an order of its own (UML_SEED).
func TestMoveKilled(t *testing.T) {
	t.Parallel()
	p := newTwins(t, "sh", "-c", quickScan)
	k := &killing{twins: p, t: t, name: "web", ip: "192.0.2.20", did: map[string]int{}}
	p.guest(k.name, k.ip)
	k.s, k.w = p.scribe(k.ip), p.sentry(k.name)
	seed := uint64(number(t, "UML_SEED", 1))
	random := rand.New(rand.NewPCG(seed, 9))
	all := few
	if os.Getenv("FAULTS") == "all" {
		all = k.all()
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		t.Logf("%d endings, UML_SEED=%d", len(all), seed)
	}
	for i, e := range all {
		k.try(e, i%3 == 2, random)
	}
	t.Log(k.did)
	k.s.end()
	l := p.hosts[k.at]
	l.Must("uml-ctl", "stop", k.name)
	lost(t, l, l.Machines+"/"+k.name+"/jail/ubd0", k.s.promised())
}

// all are the endings at each frame that comes by in a move, and in one that goes on; of many of a
// kind the first two, one in the middle, and the last.
func (k *killing) all() (all []ending) {
	k.t.Helper()
	seen := map[string]int{}
	record := func(cutAt string) lab.Result {
		var mu sync.Mutex
		k.through(func(f cutter.Frame) cutter.Order {
			k.s.down(f)
			if f.Passed {
				return cutter.Go
			}
			mu.Lock()
			defer mu.Unlock()
			seen[f.Label] = max(seen[f.Label], f.Number)
			if f.Label == cutAt {
				return cutter.Cut
			}
			return cutter.Go
		})
		return k.run(k.at, k.name, k.address(1-k.at))
	}
	record("> Q ready") // of one that goes on there are frames that others have not
	if r := record(""); r.Code != 0 {
		k.t.Fatalf("%+v", r)
	}
	k.landed()
	for label, n := range seen {
		numbers := map[int]bool{1: true, min(2, n): true, (n + 1) / 2: true, n: true}
		for number := range numbers {
			for _, passed := range []bool{false, true} {
				for _, who := range whos {
					if label != "> P" && label != "< P" {
						all = append(all, ending{cutter.Frame{Label: label, Number: number, Passed: passed}, who})
					}
				}
			}
		}
	}
	return all
}

// try has a move end at e, looks at what is left, and has it taken back, or gone on with.
func (k *killing) try(e ending, back bool, random *rand.Rand) {
	k.t.Helper()
	if strings.Contains(e.Label, "sums") || e.Label == "< S" { // only one that goes on has them
		k.end(ending{cutter.Frame{Label: "> Q end", Number: 1}, "wire"})
	}
	r, hit := k.end(e)
	if !hit {
		k.did["not reached"]++
		if r.Code != 0 {
			k.t.Fatalf("%v: it was not ended, and says %+v", e, r)
		}
	}
	k.judge(e, r)
	if r.Code == 0 { // all was done before its end
		k.did["moved at once"]++
		k.landed()
		return
	}
	if back && k.abort(e) {
		k.did["taken back"]++
		return
	}
	again := ""
	for range 3 { // what goes on may be ended too
		if random.IntN(3) != 0 {
			break
		}
		labels := []string{"> Q offer", "< S", "> Q end", "> Q ready", "> Q take", "< A take", "> D"}
		more := ending{cutter.Frame{Label: labels[random.IntN(len(labels))], Number: 1, Passed: random.IntN(2) == 0}, whos[random.IntN(len(whos))]}
		r, _ := k.end(more)
		again += ", then " + more.String()
		k.judge(more, r)
		k.did["ended again"]++
		if r.Code == 0 {
			k.landed()
			return
		}
	}
	k.through(func(f cutter.Frame) cutter.Order { k.s.down(f); return cutter.Go })
	if r := k.run(k.at, k.name, k.address(1-k.at)); r.Code != 0 {
		if k.hosts[k.at].Run("test", "-e", k.hosts[k.at].Machines+"/"+k.name).Code == 0 || !strings.Contains(r.Err, "was moved to") {
			k.t.Fatalf("%v%s: said again: %+v", e, again, r)
		}
	}
	k.did["gone on with"]++
	k.landed()
}

// end starts a move and ends it at e, if it comes so far.
func (k *killing) end(e ending) (r lab.Result, hit bool) {
	k.t.Helper()
	from, to := k.hosts[k.at], k.hosts[1-k.at]
	var once sync.Once
	k.through(func(f cutter.Frame) (order cutter.Order) {
		k.s.down(f)
		order = cutter.Go
		if f.Label != e.Label || f.Number != e.Number || f.Passed != e.Passed {
			return order
		}
		once.Do(func() {
			hit = true
			if e.who == "client" || e.who == "all" {
				from.Run("pkill", "-9", "-x", "uml-machine")
			}
			if e.who == "server" || e.who == "all" {
				to.Run("pkill", "-9", "-x", "uml-machine")
			}
			if e.who == "interrupt" {
				from.Run("pkill", "-INT", "-x", "uml-machine")
			}
			if e.who == "wire" || e.who == "all" {
				order = cutter.Cut
			}
		})
		return order
	})
	r = k.run(k.at, k.name, k.address(1-k.at))
	k.t.Logf("%v, from %d: exit %d: %s", e, k.at, r.Code, fatal(r))
	to.Wait("the server's end", func() bool { return to.Run("pgrep", "-x", "uml-machine").Code != 0 })
	return r, hit
}

// fatal is why a move failed.
func fatal(r lab.Result) (all string) {
	for line := range strings.Lines(r.Err) {
		if strings.Contains(line, "fatal: ") {
			all += strings.TrimSpace(line) + " "
		}
	}
	return all
}

// judge is for a moment when nobody is at work.
func (k *killing) judge(e ending, r lab.Result) {
	k.t.Helper()
	owners := k.owners(k.name)
	if len(owners) > 1 {
		k.t.Fatalf("%v: owners are %v", e, owners)
	}
	if wrong := k.w.said(); wrong != "" {
		k.t.Fatalf("%v: %s", e, wrong)
	}
	switch r.Code {
	case 0, 111, -1: // -1: killed
	default:
		k.t.Errorf("%v: exit %d", e, r.Code)
	}
	if len(owners) == 0 {
		k.did["no owner for a while"]++
		dir := k.hosts[k.at].Machines + "/" + k.name
		if start := k.hosts[k.at].RunIn(dir, "uml-run"); start.Code != 100 || !strings.Contains(start.Err, k.address(1-k.at)) {
			k.t.Errorf("%v: a start of what has no owner says %+v", e, start)
		}
	}
}

// abort takes a move back, if that host has not taken the guest.
func (k *killing) abort(e ending) bool {
	k.t.Helper()
	k.through(nil)
	to := k.hosts[1-k.at]
	r := k.run(k.at, "--abort", k.name, k.address(1-k.at))
	k.t.Logf("--abort: exit %d: %s", r.Code, fatal(r))
	switch {
	case r.Code == 0:
	case r.Code == 100 && strings.Contains(r.Err, "no move of it is under way"):
	case r.Code == 100 && (strings.Contains(r.Err, "it was taken there") || strings.Contains(r.Err, "was moved to")):
		return false
	default:
		k.t.Fatalf("%v: --abort: %+v", e, r)
	}
	k.found(k.ip, k.at)
	if got := k.owners(k.name); len(got) != 1 || got[0] != k.at {
		k.t.Fatalf("%v: owners are %v, after it was taken back to %d", e, got, k.at)
	}
	if got := to.Run("sh", "-c", "ls -A $UML_MACHINES/.new; id -u $0 2>/dev/null", k.name).Out; got != "" {
		k.t.Errorf("%v: taken back, and there is still %s", e, got)
	}
	return true
}

// landed is the end of a move.
func (k *killing) landed() {
	k.t.Helper()
	k.moved(k.name, k.at, k.s.last())
	k.at = 1 - k.at
	k.found(k.ip, k.at)
	if wrong := k.w.said(); wrong != "" {
		k.t.Fatal(wrong)
	}
	time.Sleep(100 * time.Millisecond) // for some records
}
