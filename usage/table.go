package usage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"uml/pressure"
	"uml/roster"
	"uml/screen"
)

// Keys are what a table can be sorted by, with what the key means.
var Keys = map[byte]string{'c': "CPU", 'm': "memory", 'd': "disc", 'n': "packets"}

// Sort puts those that take most first; equal ones stay by name.
func Sort(guests []*Guest, by byte) {
	take := func(g *Guest) float64 {
		switch by {
		case 'm':
			return float64(g.Resident + max(g.Swapped, 0))
		case 'd':
			return g.Read + g.Written
		case 'n':
			return g.In + g.Out
		}
		return g.CPU
	}
	slices.SortStableFunc(guests, func(a, b *Guest) int { return cmp.Compare(take(b), take(a)) })
}

// Table prints guests as lines of at most so many columns; 0 is any width.
func Table(guests []*Guest, columns int, by byte) []string {
	wide, own := 8, false
	for _, g := range guests {
		wide = max(wide, len(g.Name))
		own = own || g.Pressure != nil
	}
	if columns > 0 {
		wide = min(wide, 20)
	}
	head := fmt.Sprintf("%-*s %6s %6s %6s %7s %7s %6s %6s", wide, "NAME", "CPU%", "RES", "SWAP", "READ/s", "WRITE/s", "IN/s", "OUT/s")
	if own {
		head += "  PRESSURE"
	}
	sum := fmt.Sprintf("guests: %d, by %s", len(guests), Keys[by])
	if p, err := pressure.Host(); err == nil {
		sum += fmt.Sprintf("; the host waits for CPU/memory/disc: %v%%", p)
	}
	lines := []string{screen.Cut(sum, columns), screen.Cut(head, columns)}
	for _, g := range guests {
		name := g.Name
		if columns > 0 {
			name = screen.Cut(name, wide)
		}
		line := fmt.Sprintf("%-*s %6s %6s %6s %7s %7s %6s %6s", wide, name, number(100*g.CPU, 1), bytes(float64(g.Resident)), bytes(float64(g.Swapped)),
			bytes(g.Read), bytes(g.Written), number(g.In, 0), number(g.Out, 0))
		if g.Pressure != nil {
			line += "  " + g.Pressure.String()
		}
		lines = append(lines, screen.Cut(strings.TrimRight(line, " "), columns))
	}
	return lines
}

func number(n float64, digits int) string {
	switch {
	case n < 0:
		return "-"
	case n >= 99999.5:
		return fmt.Sprintf("%.0fk", n/1000)
	}
	return fmt.Sprintf("%.*f", digits, n)
}

func bytes(n float64) string {
	if n < 0 {
		return "-"
	}
	return roster.Size(int64(n))
}
