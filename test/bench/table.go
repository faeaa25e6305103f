package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// A side is the starts of one of the run programs in a case.
type side struct {
	name   string
	starts []Start
	wait   time.Duration // for silent addresses: no work
}

func (s *side) add(x Start) { s.starts = append(s.starts, x) }

func (s side) walls() []float64 {
	return s.each(func(x Start) float64 { return ms(x.Wall) })
}

func (s side) work() []float64 {
	return s.each(func(x Start) float64 { return ms(x.Wall - s.wait) })
}

func (s side) cpu() []float64 {
	return s.each(func(x Start) float64 { return ms(x.CPU) })
}

func (s side) faults() []float64 {
	return s.each(func(x Start) float64 { return float64(x.Faults) })
}

func (s side) processes() []float64 {
	return s.each(func(x Start) float64 { return float64(x.Processes) })
}

func (s side) beside() []float64 {
	return s.each(func(x Start) float64 { return float64(x.Beside) })
}

func (s side) each(f func(Start) float64) (all []float64) {
	for _, x := range s.starts {
		all = append(all, f(x))
	}
	slices.Sort(all)
	return all
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median of sorted numbers.
func median(all []float64) float64 {
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// printCase prints the suite's side, and of each script's what it is and how many
// times the suite's.
func printCase(w io.Writer, title string, all []side) {
	fmt.Fprintf(w, "\n%s: starts of the suite: %d, of a script: %d\n  %-28s %26s", title, len(all[0].starts), len(all[1].starts), "", all[0].name)
	for _, s := range all[1:] {
		fmt.Fprintf(w, " %26s %6s", s.name, "ratio")
	}
	fmt.Fprintln(w)
	for _, row := range []struct {
		name string
		unit string
		of   func(side) []float64
	}{
		{"wall to the exec", "ms", side.walls},
		{"  without waits for silence", "ms", side.work},
		{"CPU, children included", "ms", side.cpu},
		{"page faults, likewise", "", side.faults},
		{"processes started", "", side.processes},
		{"processes beside at the exec", "", side.beside},
	} {
		if row.name == "  without waits for silence" && all[0].wait == 0 {
			continue
		}
		suite := row.of(all[0])
		fmt.Fprintf(w, "  %-28s %26s", row.name, spread(suite, row.unit))
		for _, s := range all[1:] {
			script := row.of(s)
			ratio := "-"
			if m := median(suite); m > 0 {
				ratio = fmt.Sprintf("%.1f", median(script)/m)
			}
			fmt.Fprintf(w, " %26s %6s", spread(script, row.unit), ratio)
		}
		fmt.Fprintln(w)
	}
}

// spread is the median, and between what it lies.
func spread(all []float64, unit string) string {
	if unit == "" {
		return fmt.Sprintf("%.0f (%.0f-%.0f)", median(all), all[0], all[len(all)-1])
	}
	return fmt.Sprintf("%.2f %s (%.2f-%.2f)", median(all), unit, all[0], all[len(all)-1])
}
