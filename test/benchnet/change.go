package main

import (
	"context"
	"fmt"
	"time"

	"uml/netsetup"
)

// changes gives one machine more its network and takes it away, on the host with one
// guest and on that with all, in turns; and lists what is there.
func changes(rounds int, ours []*host) error {
	first, last := ours[0], ours[len(ours)-1]
	more := machine(60000)
	works := []struct {
		name string
		do   func() error
	}{
		{"up", func() error { _, err := netsetup.Up(context.Background(), more, hostSettings); return err }},
		{"up again", func() error { _, err := netsetup.Up(context.Background(), more, hostSettings); return err }},
		{"show", func() error { _, err := netsetup.Look(more, hostSettings); return err }},
		{"release", func() error { return netsetup.Release(more, hostSettings) }},
		{"down", func() error { return netsetup.Down(more, hostSettings) }},
	}
	took := map[*host]map[string][]float64{first: {}, last: {}}
	for range rounds {
		for _, h := range []*host{first, last} {
			for _, w := range works {
				us, err := h.timed(w.do)
				if err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
				took[h][w.name] = append(took[h][w.name], us)
			}
		}
	}
	fmt.Printf("\nOne machine more (%d turns)\n  %-28s %10s %10s %8s\n", rounds, "µs, beside guests:", fmt.Sprint(first.guests), fmt.Sprint(last.guests), "ratio")
	for _, w := range works {
		one, all := median(took[first][w.name]), median(took[last][w.name])
		fmt.Printf("  %-28s %10.0f %10.0f %8.2f\n", w.name, one, all, all/one)
	}
	fmt.Printf("\nAll that is there, looked through once (gc and show of all)\n  %-28s %10s\n", "", "ms")
	for _, h := range ours {
		us, err := h.timed(survey)
		if err != nil {
			return fmt.Errorf("survey: %w", err)
		}
		fmt.Printf("  %-28s %10.1f\n", fmt.Sprintf("%d guests", h.guests), us/1000)
	}
	return nil
}

func survey() error {
	s, err := netsetup.TakeSurvey(hostSettings, func(string) netsetup.Owner { return netsetup.Owner{} })
	if err == nil {
		s.States()
		s.Close()
	}
	return err
}

func (h *host) timed(do func() error) (us float64, err error) {
	err = h.in(h.ns, func() error {
		start := time.Now()
		defer func() { us = float64(time.Since(start).Microseconds()) }()
		return do()
	})
	return us, err
}
