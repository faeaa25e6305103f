package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A resident is a process of the host that is no guest's.
type resident struct {
	name            string
	kB, descriptors int
}

// ours are all processes but those of guests' accounts, those by which this program looks, and
// the lab's first.
func (h *host) ours() (all []resident) {
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*", h.PID))
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		s := h.Status(pid)
		if pid == 1 || len(s) == 0 || h.account(s.Int("Uid")) || strings.HasPrefix(s["State"], "Z") {
			continue
		}
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		kB, _ := strconv.Atoi(strings.Fields(s["VmRSS"] + " 0")[0])
		all = append(all, resident{name: s["Name"], kB: kB, descriptors: len(fds)})
	}
	return all
}

func (h *host) account(uid int) bool {
	return slices.ContainsFunc(h.guests, func(g *guest) bool { return g.Machine != nil && g.UID == uid })
}

// A sample is one look at those that stay, by name.
type sample struct {
	at  time.Time
	all map[string]resident // the largest of a name
	sum map[string]int      // kB
}

// stay are the programs that live as long as the host or the guest's supervision; a uml-run is
// there as long as it waits.
var stay = []string{"svscan", "supervise", "multilog", "uml-shelld", "sshd", "uml-run"}

// weigh takes a sample each five seconds.
func (h *host) weigh(ctx context.Context) {
	for sleep(ctx, 5*time.Second) {
		s := sample{time.Now(), map[string]resident{}, map[string]int{}}
		for _, p := range h.ours() {
			if !slices.Contains(stay, p.name) {
				continue
			}
			s.sum[p.name] += p.kB
			most := s.all[p.name]
			s.all[p.name] = resident{name: p.name, kB: max(most.kB, p.kB), descriptors: max(most.descriptors, p.descriptors)}
		}
		h.samples = append(h.samples, s)
		h.count("checks", "a sample of resident memory and descriptors")
	}
}

// flat compares the first third of the samples with the last, of what is there all the time. A Go
// program's heap finds its size in the first minutes: 2 MB more are not seen as growth.
func (h *host) flat() {
	third := len(h.samples) / 3
	if third == 0 {
		return
	}
	median := func(s []sample, of func(sample) int) int {
		var v []int
		for _, s := range s {
			v = append(v, of(s))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	first, last := h.samples[:third], h.samples[len(h.samples)-third:]
	fmt.Printf("\nresident, median of the first %d samples and of the last:\n", third)
	for _, name := range stay {
		largest := func(s sample) int { return s.all[name].kB }
		sum := func(s sample) int { return s.sum[name] }
		fds := func(s sample) int { return s.all[name].descriptors }
		a, b := median(first, largest), median(last, largest)
		fa, fb := median(first, fds), median(last, fds)
		most := 0
		for _, s := range h.samples {
			most = max(most, largest(s))
		}
		fmt.Printf("  %-11s largest %6d kB, %6d kB (at any time %d); all %6d kB, %6d kB; descriptors %d, %d\n", name, a, b, most, median(first, sum), median(last, sum), fa, fb)
		if name == "uml-run" || name == "sshd" { // which come and go
			continue
		}
		if b > a+a/10+2048 {
			h.found(nil, "%s has grown from %d kB to %d kB", name, a, b)
		}
		if fb > fa {
			h.found(nil, "%s had %d descriptors, and has %d", name, fa, fb)
		}
	}
}
