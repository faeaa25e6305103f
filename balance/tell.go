package balance

import (
	"errors"
	"fmt"

	"uml/settings"
)

// line is what is printed of a change that came to now.
func (c Change) line(now settings.Size) string {
	line := fmt.Sprintf("%s: %v to %v: %s", c.Guest, c.From, now, c.Why)
	if now != c.To {
		line += fmt.Sprintf(" (%v was wanted)", c.To)
	}
	return line
}

// tell prints how all stand and what would be done.
func (o Options) tell(s *seen, p Plan) (errs error) {
	print := func(format string, args ...any) {
		_, err := fmt.Fprintf(o.Out, format+"\n", args...)
		errs = errors.Join(errs, err)
	}
	print("host: %v of %v available, %v to be kept; it waits for memory %.0f%% of its time", round(s.host.Available), round(s.ram), round(s.host.wanted()), s.host.Pressure)
	by := map[string]Change{}
	for _, c := range append(p.Takes, p.Gives...) {
		by[c.Guest] = c
	}
	for _, g := range s.guests {
		if c, ok := by[g.Name]; ok {
			print("%s", c.line(c.To))
		} else {
			print("%s: stays at %v: %s", g.Name, g.Now, g.stand())
		}
	}
	for _, l := range s.left {
		print("%v", l)
	}
	return errs
}

// stand is why nothing is done to a guest.
func (g Guest) stand() string {
	said := fmt.Sprintf("%v of %v to %v available", round(g.Available), g.Min, g.Max)
	switch {
	case g.short() && g.Now >= g.Max:
		return said + ", short, and it has all it can have"
	case g.short():
		return said + ", short, and nobody can spare any"
	case g.Now <= g.Min:
		return said + ", it can be taken nothing"
	case g.idle():
		return said + ", idle, and nobody needs it"
	}
	return said
}
