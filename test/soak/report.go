package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// A tally counts, by kind and name.
type tally struct {
	mu      sync.Mutex
	counts  map[[2]string]int
	longest map[string]time.Duration
}

func (t *tally) add(kind, name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[[2]string]int{}
	}
	t.counts[[2]string{kind, name}] += n
}

func (t *tally) sum(kind string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, c := range t.counts {
		if k[0] == kind {
			n += c
		}
	}
	return n
}

func (h *host) count(kind, name string) { h.tally.add(kind, name, 1) }

func (h *host) longest(after string, d time.Duration) {
	h.tally.mu.Lock()
	defer h.tally.mu.Unlock()
	if h.tally.longest == nil {
		h.tally.longest = map[string]time.Duration{}
	}
	h.tally.longest[after] = max(h.tally.longest[after], d)
}

// find tells of something that must not be, with what was done to the guest before.
func (g *guest) find(format string, args ...any) { g.host.found(g, format, args...) }

func (h *host) found(g *guest, format string, args ...any) {
	h.count("found", "found")
	var b strings.Builder
	fmt.Fprintf(&b, "\nFOUND at %s: ", time.Now().UTC().Format("15:04:05"))
	if g != nil {
		fmt.Fprintf(&b, "%s ", g.name)
	}
	fmt.Fprintf(&b, format+"\n", args...)
	if g != nil {
		g.mu.Lock()
		for _, line := range g.journal {
			fmt.Fprintln(&b, "   ", line)
		}
		g.mu.Unlock()
		if g.Machine != nil {
			text, _ := os.ReadFile(filepath.Join(g.Dir, "log/main/current"))
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			for _, line := range lines[max(0, len(lines)-8):] {
				fmt.Fprintln(&b, "    | "+line)
			}
		}
	}
	fmt.Println(b.String())
}

// expected is what a start may say here when it fails.
var expected = regexp.MustCompile(`fatal: (told to stop|.*lock: held by process)`)

var said = regexp.MustCompile(`uml-run: .*`)

// readLogs counts what starts have said, and kernels that began.
func (h *host) readLogs() {
	if h.keep {
		h.kept, _ = os.MkdirTemp("", "uml-soak")
		h.Run("sh", "-c", `cd "$UML_MACHINES" && cp --parents -r */log "$0"; cp "$1"/*.log "$0"`, h.kept, h.Dir)
	}
	for _, g := range h.guests {
		files, _ := filepath.Glob(filepath.Join(g.Dir, "log/main/*"))
		for _, name := range files {
			text, _ := os.ReadFile(name)
			h.tally.add("starts", "kernels that began", strings.Count(string(text), "Linux version "))
			for _, line := range said.FindAllString(string(text), -1) {
				h.count("said by starts", plain(line))
				if strings.Contains(line, "fatal: ") && !expected.MatchString(line) {
					g.find("a start said: %s", line)
				}
			}
		}
		for program, n := range g.opens.Opens() {
			h.tally.add("openings of discs", "by "+program, n)
		}
		if wrong := g.opens.Wrong(); wrong != "" {
			g.find("its disc: %s", wrong)
		}
	}
}

// report prints all counts and returns how much was found.
func (h *host) report() int {
	h.tally.add("packets", "forged, seen to come from guests", int(h.ear.in.Load()))
	h.tally.add("packets", "forged, seen to leave the host", int(h.ear.out.Load()))
	h.tally.mu.Lock()
	var kinds [][2]string
	for k := range h.tally.counts {
		kinds = append(kinds, k)
	}
	sort.Slice(kinds, func(i, j int) bool {
		return slices.Compare(kinds[i][:], kinds[j][:]) < 0
	})
	last := ""
	for _, k := range kinds {
		if k[0] != last {
			fmt.Printf("\n%s\n", k[0])
			last = k[0]
		}
		fmt.Printf("%8d %s", h.tally.counts[k], k[1])
		if d, ok := h.tally.longest[k[1]]; ok {
			fmt.Printf("; at most %.1f s until it answered", d.Seconds())
		}
		fmt.Println()
	}
	h.tally.mu.Unlock()
	n := h.tally.sum("found")
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	fmt.Printf("\nsoak: %d guests, %d minutes, SEED=%d, Linux %s: %d found\n", h.options.guests, h.minutes, h.seed, strings.TrimSpace(string(release)), n)
	if h.kept != "" && n > 0 {
		fmt.Println("logs are kept in", h.kept)
	} else if h.kept != "" {
		os.RemoveAll(h.kept)
	}
	return n
}
