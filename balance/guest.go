package balance

import (
	"fmt"

	"uml/memory"
	"uml/settings"
)

const mib = settings.Size(1) << 20

// A Guest is what is known of one.
type Guest struct {
	Name     string
	Min, Max settings.Size // settings/mem-min, and what it can have at most
	Now      settings.Size // what it has
	Held     settings.Size // what of it the host has to hold

	// Its own word:
	Available settings.Size
	Pressure  float64 // percent of ten seconds; 0 where its kernel does not tell
}

// Percents of ten seconds in which something waited for memory.
const (
	calm    = 1
	pressed = 10
)

// What a guest should have available is a part of its most: below low it is short, above
// high idle. Between them nothing is done; who is given or taken comes to middle.
func (g Guest) low() settings.Size    { return memory.Floor(g.Max) }
func (g Guest) middle() settings.Size { return 2 * g.low() }
func (g Guest) high() settings.Size   { return 4 * g.low() }

// step bounds what is done to a guest in one run.
func (g Guest) step() settings.Size { return max(mib, g.Max/4/mib*mib) }

// short: it is never taken from.
func (g Guest) short() bool {
	return g.Available < g.low() || g.Pressure >= pressed || g.Now < g.Min
}

func (g Guest) idle() bool {
	return !g.short() && g.Pressure < calm && g.Available > g.high()
}

// surplus is what can be taken from the guest now.
func (g Guest) surplus() settings.Size {
	if !g.idle() {
		return 0
	}
	return max(0, min(g.Available-g.middle(), g.Now-g.Min, g.step())) / mib * mib
}

// want is what the guest is to be given now.
func (g Guest) want() settings.Size {
	need := max(g.low(), g.middle()-g.Available)
	switch {
	case g.Now < g.Min:
		need = g.Min - g.Now
	case !g.short():
		return 0
	}
	return min(whole(need), g.Max-g.Now, g.step())
}

// whole rounds up to 1M: less is not moved, unless it is the last.
func whole(s settings.Size) settings.Size { return (s + mib - 1) / mib * mib }

// sane takes what cannot be for what it can be at most: sums stay sums. Guests that are
// not to be touched are left out.
func sane(guests []Guest) (all []Guest) {
	for _, g := range guests {
		if g.Min <= 0 || g.Max < g.Min || g.Now <= 0 || g.Now > g.Max {
			continue
		}
		g.Available = max(0, min(g.Available, g.Now))
		g.Held = max(0, min(g.Held, g.Now))
		all = append(all, g)
	}
	return all
}

func (g Guest) hunger() string {
	switch {
	case g.Now < g.Min:
		return fmt.Sprintf("has less than mem-min, %v", g.Min)
	case g.Available < g.low():
		return fmt.Sprintf("short, %v available", round(g.Available))
	}
	return fmt.Sprintf("short, it waits for memory %.0f%% of its time", g.Pressure)
}

// round is a size that is read more easily.
func round(s settings.Size) settings.Size {
	switch {
	case s > 10<<30:
		return s &^ (1<<30 - 1)
	case s > 8<<20:
		return s &^ (1<<20 - 1)
	}
	return s &^ (1<<10 - 1)
}
