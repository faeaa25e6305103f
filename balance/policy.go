// Package balance moves memory between guests that run: from those that do not use it to
// those that are short of it, and to the host when that is short itself (paper 5.5). It
// looks once, decides, does it and ends.
//
// What a guest says of itself is its own word. By a lie it gets what it was promised in
// settings/mem, or loses what it has; no other guest is ever taken below its mem-min.
package balance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"uml/settings"
)

// A Host is what is known of the host.
type Host struct {
	Available settings.Size // MemAvailable
	Reserve   settings.Size // what of that is to be kept
	Owed      settings.Size // what guests that are not asked may touch yet
	Pressure  float64       // percent of ten seconds in which something waited for memory
}

// A Change is what is to be done to a guest. Why is for people.
type Change struct {
	Guest    string
	From, To settings.Size
	Why      string
}

// A Plan is what is to be done to all: first Takes, side by side, then Gives, in their
// order, as long as what was taken and Own, the host's part, last.
type Plan struct {
	Takes, Gives []Change
	Own          settings.Size
}

// wanted is what the host should have available. Pressure doubles it: by itself it may be
// that of a control group which is short of what it was allowed.
func (h Host) wanted() settings.Size {
	if h.Pressure >= pressed {
		return 2 * h.Reserve
	}
	return h.Reserve
}

// Decide says what is to be done. It asks nothing and changes nothing; when it is done and
// nothing else has changed, the next call goes on in the same direction or finds nothing.
func Decide(h Host, guests []Guest) (p Plan) {
	guests = sane(guests)
	comfort := h.wanted() + h.wanted()/4 // so that what is done is done for a while
	var lack, need, due settings.Size
	if h.Available < h.wanted() {
		lack = comfort - h.Available
	}
	hungry := feed(guests)
	for _, g := range hungry {
		need += g.want()
		if g.Now < g.Min {
			due += g.want() // whoever has it
		}
	}
	p.Own = max(due, min(need, h.Available-comfort))
	p.take(h, guests, lack, need-p.Own)
	have := p.Own
	for _, c := range p.Takes {
		have += c.From - c.To
	}
	for _, g := range hungry {
		p.give(g, g.want(), g.hunger())
	}
	p.Gives = afford(p.Gives, have)
	if len(hungry) == 0 && lack == 0 {
		p.giveBack(h, guests)
	}
	return p
}

// feed are the guests that want some, those first that have less than was promised, then
// the modest, so that none takes what many could have.
func feed(guests []Guest) (hungry []Guest) {
	for _, g := range guests {
		if g.want() > 0 {
			hungry = append(hungry, g)
		}
	}
	slices.SortFunc(hungry, func(a, b Guest) int {
		below := func(g Guest) int { return min(0, cmp.Compare(g.Now, g.Min)) }
		return cmp.Or(below(a)-below(b), cmp.Compare(a.want(), b.want()), strings.Compare(a.Name, b.Name))
	})
	return hungry
}

// take finds what the host lacks and others need, with those who can spare most.
func (p *Plan) take(h Host, guests []Guest, lack, need settings.Size) {
	rich := slices.Clone(guests)
	slices.SortFunc(rich, func(a, b Guest) int {
		return cmp.Or(cmp.Compare(b.surplus(), a.surplus()), strings.Compare(a.Name, b.Name))
	})
	why := "others are short"
	if lack > 0 {
		why = fmt.Sprintf("the host has %v available, less than %v", round(h.Available), round(h.wanted()))
	}
	for missing := lack + need; missing > 0 && len(rich) > 0; rich = rich[1:] {
		g := rich[0]
		n := min(g.surplus(), whole(missing))
		if n <= 0 {
			return
		}
		missing -= n
		p.Takes = append(p.Takes, Change{g.Name, g.Now, g.Now - n, fmt.Sprintf("idle, %v available; %s", round(g.Available), why)})
	}
}

func (p *Plan) give(g Guest, grow settings.Size, why string) {
	p.Gives = append(p.Gives, Change{g.Name, g.Now, g.Now + grow, why})
}

// afford is what of the gives there is enough for: who was to be taken from may not have
// given all.
func afford(gives []Change, have settings.Size) (all []Change) {
	have = max(0, have)
	for _, c := range gives {
		if c.To-c.From > have {
			c.To = c.From + have/mib*mib
		}
		if have -= c.To - c.From; c.To > c.From {
			all = append(all, c)
		}
	}
	return all
}

// giveBack returns to guests what they need not have now, if the host had enough even
// when all of them took all that is theirs: so it is not taken again when they do.
func (p *Plan) giveBack(h Host, guests []Guest) {
	spare := h.Available - h.Owed - h.wanted() - h.wanted()/2
	for _, g := range guests {
		spare -= g.Now - g.Held
	}
	poor := slices.DeleteFunc(slices.Clone(guests), func(g Guest) bool { return g.Now >= g.Max })
	slices.SortFunc(poor, func(a, b Guest) int {
		return cmp.Or(cmp.Compare(float64(a.Now)/float64(a.Max), float64(b.Now)/float64(b.Max)), strings.Compare(a.Name, b.Name))
	})
	for _, g := range poor {
		grow := min(g.Max-g.Now, g.step())
		if grow > spare {
			return
		}
		spare -= grow
		p.Own += grow
		p.give(g, grow, "the host has plenty")
	}
}
