package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"uml/settings"
)

const gib = 1024 * mib

// text is a plan as a table has it.
func text(p Plan) string {
	var all []string
	for _, c := range append(p.Takes, p.Gives...) {
		all = append(all, fmt.Sprintf("%s %v>%v", c.Guest, c.From, c.To))
	}
	return strings.Join(all, ", ")
}

func TestDecide(t *testing.T) {
	roomy := Host{Available: 20 * gib, Reserve: gib}
	full := Host{Available: gib + gib/4, Reserve: gib}
	tight := Host{Available: gib - 64*mib, Reserve: gib}
	guest := func(name string, min, now, available settings.Size) Guest {
		return Guest{Name: name, Min: min * mib, Max: 256 * mib, Now: now * mib, Held: now * mib, Available: available * mib}
	}
	pressed, calm := guest("a", 64, 128, 100), guest("a", 64, 256, 200)
	pressed.Pressure, calm.Pressure = 50, 2
	untouched := guest("a", 64, 128, 60)
	untouched.Held = 0
	fixed := guest("a", 0, 256, 250)
	for _, c := range []struct {
		name   string
		h      Host
		guests []Guest
		want   string
	}{
		{"nobody", tight, nil, ""},
		{"all well", full, []Guest{guest("a", 64, 256, 40), guest("b", 64, 256, 64)}, ""},
		{"idle, and nobody needs it", full, []Guest{guest("a", 64, 256, 200)}, ""},
		{"short has all it can have", full, []Guest{guest("a", 64, 256, 2), guest("b", 64, 256, 200)}, ""},
		{"short, of the host's", roomy, []Guest{guest("a", 64, 128, 2), guest("b", 64, 256, 200)}, "a 128M>158M"},
		{"short, of the idle", full, []Guest{guest("a", 64, 128, 2), guest("b", 64, 256, 200)}, "b 256M>226M, a 128M>158M"},
		{"short, of the idlest", full, []Guest{guest("a", 64, 128, 2), guest("b", 64, 256, 70), guest("c", 64, 256, 80)}, "c 256M>226M, a 128M>158M"},
		{"short, of several", full, []Guest{guest("a", 64, 128, 2), guest("b", 240, 256, 200), guest("c", 241, 256, 200)}, "b 256M>240M, c 256M>242M, a 128M>158M"},
		{"short, and the idle have no more", full, []Guest{guest("a", 64, 128, 2), guest("b", 250, 256, 200)}, "b 256M>250M, a 128M>134M"},
		{"short, and nobody is idle", full, []Guest{guest("a", 64, 128, 2), guest("b", 64, 256, 64)}, ""},
		{"short never gives", tight, []Guest{guest("a", 64, 128, 15), guest("b", 64, 128, 15)}, ""},
		{"waits for memory", full, []Guest{pressed, guest("b", 64, 256, 200)}, "b 256M>240M, a 128M>144M"},
		{"waits a little", tight, []Guest{calm}, ""},
		{"at its minimum", tight, []Guest{guest("a", 128, 128, 100)}, ""},
		{"no minimum", tight, []Guest{fixed}, ""},
		{"not of ours", tight, []Guest{guest("a", 64, 257, 200)}, ""},
		{"host is short", tight, []Guest{guest("a", 64, 256, 200)}, "a 256M>192M"},
		{"host is short, and takes no more than it lacks", Host{Available: gib - mib, Reserve: gib}, []Guest{guest("a", 64, 256, 200), guest("b", 8, 256, 240), guest("c", 8, 256, 240), guest("d", 8, 256, 240), guest("e", 8, 256, 240), guest("f", 8, 256, 240)}, "a 256M>192M, b 256M>192M, c 256M>192M, d 256M>192M, e 256M>255M"},
		{"pressure, and there is enough", Host{Available: 3 * gib, Reserve: gib, Pressure: 50}, []Guest{guest("a", 64, 256, 200)}, ""},
		{"pressure, and there is little", Host{Available: 2*gib - mib, Reserve: gib, Pressure: 50}, []Guest{guest("a", 64, 256, 200)}, "a 256M>192M"},
		{"host has plenty", roomy, []Guest{guest("a", 64, 128, 60), guest("b", 64, 64, 60)}, "b 64M>128M, a 128M>192M"},
		{"host has, but owes it", Host{Available: 2 * gib, Reserve: gib, Owed: gib}, []Guest{guest("a", 64, 128, 60)}, ""},
		{"host has no more than this", Host{Available: gib + gib/2 + 192*mib, Reserve: gib}, []Guest{untouched}, "a 128M>192M"},
		{"host has a page less", Host{Available: gib + gib/2 + 192*mib - 4096, Reserve: gib}, []Guest{untouched}, ""},
		{"was left less than its minimum", tight, []Guest{guest("a", 64, 60, 30), guest("b", 64, 128, 4)}, "a 60M>64M"},
	} {
		if got := text(Decide(c.h, c.guests)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// The modest are fed first, by what the idle give.
func TestFeed(t *testing.T) {
	h := Host{Available: gib, Reserve: gib}
	large := Guest{Name: "a", Min: mib, Max: 4 * gib, Now: gib, Held: gib}
	small := Guest{Name: "b", Min: mib, Max: 64 * mib, Now: 32 * mib, Held: 32 * mib}
	idle := Guest{Name: "c", Min: mib, Max: 80 * mib, Now: 80 * mib, Held: 80 * mib, Available: 70 * mib}
	if got, want := text(Decide(h, []Guest{large, small, idle})), "c 80M>60M, b 32M>40M, a 1G>1036M"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What was not taken is not given.
func TestAfford(t *testing.T) {
	gives := []Change{{Guest: "a", From: 10 * mib, To: 20 * mib}, {Guest: "b", From: 10 * mib, To: 15 * mib}, {Guest: "c", To: mib}}
	for have, want := range map[settings.Size]string{0: "", -mib: "", mib - 1: "", 10 * mib: "a 10M>20M", 12*mib + 5: "a 10M>20M, b 10M>12M", gib: "a 10M>20M, b 10M>15M, c 0>1M"} {
		if got := text(Plan{Gives: afford(gives, have)}); got != want {
			t.Errorf("%v: got %q, want %q", have, got, want)
		}
	}
}

// check: whatever guests say, nobody comes below his minimum or above his most, the short
// give nothing, a step is bounded, and no more is given than was taken or the host has.
func check(t *testing.T, h Host, guests []Guest, p Plan) {
	t.Helper()
	by := map[string]Guest{}
	for _, g := range guests {
		by[g.Name] = g
	}
	seen := map[string]bool{}
	var taken, given, due settings.Size
	for i, c := range append(append([]Change(nil), p.Takes...), p.Gives...) {
		g := by[c.Guest]
		switch {
		case seen[c.Guest], c.From != g.Now, g.Min <= 0:
			t.Fatalf("%+v of %+v", c, g)
		case i < len(p.Takes) && (c.To >= c.From || c.To < g.Min || g.Available < g.low() || g.Pressure >= pressed):
			t.Fatalf("takes %+v of %+v", c, g)
		case i >= len(p.Takes) && (c.To <= c.From || c.To > g.Max):
			t.Fatalf("gives %+v of %+v", c, g)
		case max(c.To-c.From, c.From-c.To) > max(mib, g.Max/4):
			t.Fatalf("at once %+v of %+v", c, g)
		}
		seen[c.Guest] = true
		taken += max(0, c.From-c.To)
		given += max(0, c.To-c.From)
		if c.To > c.From {
			due += min(c.To-c.From, whole(max(0, g.Min-g.Now)))
		}
	}
	if given > taken+p.Own || p.Own > max(due, h.Available-h.wanted()) {
		t.Fatalf("gives %v, taken %v, own %v of %+v", given, taken, p.Own, h)
	}
}

// A world is guests that need what they need, on a host.
type world struct {
	h      Host
	guests []Guest
	uses   []settings.Size
	greedy bool // guests touch all that they have
}

// settle has each guest and the host find themselves in what they have.
func (w *world) settle() {
	for i := range w.guests {
		g := &w.guests[i]
		held := min(g.Held, g.Now)
		if w.greedy || g.Now <= w.uses[i] {
			held = g.Now
		}
		w.h.Available += g.Held - held
		g.Held, g.Available, g.Pressure = held, max(0, g.Now-w.uses[i]), 0
		if g.Now < w.uses[i] {
			g.Pressure = 40
		}
	}
}

// Runs one after the other come to an end, soon, and none undoes what another did.
func TestConverges(t *testing.T) {
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := world{greedy: r.IntN(2) == 0}
		size := func(most settings.Size) settings.Size { return settings.Size(r.Int64N(int64(most))) + 1 }
		var all settings.Size
		for i := range 1 + r.IntN(8) {
			g := Guest{Name: fmt.Sprint(i), Max: size(gib)&^(mib-1) + 8*mib}
			g.Min = size(g.Max)
			g.Now = g.Min + size(g.Max-g.Min+1) - 1
			g.Held = size(g.Now)
			w.guests, w.uses = append(w.guests, g), append(w.uses, size(g.Max))
			all += g.Max
		}
		w.h.Reserve = size(all)
		w.h.Available = size(3 * all)
		w.h.Pressure = float64(r.IntN(2) * r.IntN(100))
		w.settle()
		way := map[string]settings.Size{}
		for run := 0; ; run++ {
			p := Decide(w.h, w.guests)
			check(t, w.h, w.guests, p)
			if text(p) == "" {
				break
			}
			if run > 64 {
				t.Fatalf("seed %d: after %d runs: %s\n%+v", seed, run, text(p), w)
			}
			for _, c := range append(p.Takes, p.Gives...) {
				if n := c.To - c.From; n*way[c.Guest] < 0 || n == 0 {
					t.Fatalf("seed %d, run %d: %+v undoes\n%+v", seed, run, c, w)
				} else {
					way[c.Guest] = n / max(n, -n)
				}
				for i := range w.guests {
					if w.guests[i].Name == c.Guest {
						w.guests[i].Now = c.To
					}
				}
			}
			w.settle()
		}
	}
}

// Guests say anything, and so may a damaged setting.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), int64(gib), int64(gib), int64(0), 0.0, int64(64*mib), int64(256*mib), int64(128*mib), int64(mib), 3.0)
	f.Add(uint64(2), int64(math.MaxInt64), int64(mib), int64(0), 99.0, int64(mib), int64(math.MaxInt64/4), int64(gib), int64(math.MaxInt64), math.NaN())
	f.Fuzz(func(t *testing.T, seed uint64, available, reserve, owed int64, waits float64, low, high, now, spare int64, pressure float64) {
		const most = 1 << 50
		h := Host{settings.Size(available % most), settings.Size(max(reserve, -reserve) % most), settings.Size(max(owed, -owed) % most), waits}
		h.Reserve, h.Owed = max(0, h.Reserve), max(0, h.Owed)
		r := rand.New(rand.NewPCG(seed, 0))
		any := func(n int64) settings.Size {
			switch r.IntN(4) {
			case 0:
				return settings.Size(n)
			case 1:
				return settings.Size(r.Int64() % most)
			case 2:
				return -settings.Size(r.Int64())
			}
			return settings.Size(r.Int64N(1 << 30))
		}
		var guests []Guest
		for i := range r.IntN(6) {
			guests = append(guests, Guest{fmt.Sprint(i), any(low) % most, any(high) % most, any(now) % most, any(now), any(spare), pressure * float64(r.IntN(3))})
		}
		check(t, h, guests, Decide(h, guests))
	})
}
