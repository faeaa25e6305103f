package usage

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"uml/handle"
	"uml/roster"
)

// Pressure is the share of the last ten seconds, in percent, in which something
// waited for CPU, memory or a disc (Documentation/accounting/psi.rst).
type Pressure struct{ CPU, Memory, IO float64 }

func (p Pressure) String() string { return fmt.Sprintf("%.0f/%.0f/%.0f", p.CPU, p.Memory, p.IO) }

// Host is the host's; nil if its kernel does not tell.
func Host() *Pressure { return readPressure("/proc/pressure/", "", "avg10=") }

// Stalled is the host's since it was booted, in seconds; nil if its kernel does not tell.
func Stalled() *Pressure {
	p := readPressure("/proc/pressure/", "", "total=") // microseconds
	if p == nil {
		return nil
	}
	return &Pressure{p.CPU / 1e6, p.Memory / 1e6, p.IO / 1e6}
}

// readPressure reads a number of the lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func readPressure(before, after, number string) *Pressure {
	var p Pressure
	for what, to := range map[string]*float64{"cpu": &p.CPU, "memory": &p.Memory, "io": &p.IO} {
		text, err := handle.ReadProc(before + what + after)
		if err != nil {
			return nil
		}
		line, _, _ := strings.Cut(string(text), "\n")
		_, rest, ok := strings.Cut(line, number)
		if !ok || !strings.HasPrefix(line, "some ") {
			return nil
		}
		*to, _ = strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
	}
	return &p
}

// groupsOf are the directories of control groups, by the guest that alone is in it.
func groupsOf(machines []*roster.Machine) map[int]string {
	at := mounted()
	if at == "" {
		return nil
	}
	self, by := group("self"), map[string][]int{}
	for _, m := range machines {
		if m.PID == 0 {
			continue
		}
		if g := group(strconv.Itoa(m.PID)); g != "" && g != "/" && g != self {
			by[g] = append(by[g], m.PID)
		}
	}
	all := map[int]string{}
	for g, pids := range by {
		if len(pids) == 1 {
			all[pids[0]] = path.Join(at, g)
		}
	}
	return all
}

// group is the process's in the hierarchy of version 2.
func group(pid string) string {
	text, _ := handle.ReadProc("/proc/" + pid + "/cgroup")
	for line := range strings.Lines(string(text)) {
		if g, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return g
		}
	}
	return ""
}

// mounted is where that hierarchy is.
var mounted = sync.OnceValue(func() string {
	text, _ := handle.ReadProc("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if before, _, ok := strings.Cut(line, " - cgroup2 "); ok {
			return strings.Fields(before)[4]
		}
	}
	return ""
})
