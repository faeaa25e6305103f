package usage

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"uml/roster"
)

// Pressure is the share of the last ten seconds, in percent, in which something
// waited for CPU, memory or a disc (Documentation/accounting/psi.rst).
type Pressure struct{ CPU, Memory, IO float64 }

func (p Pressure) String() string { return fmt.Sprintf("%.0f/%.0f/%.0f", p.CPU, p.Memory, p.IO) }

// Host is the host's; nil if its kernel does not tell.
func Host() *Pressure { return readPressure("/proc/pressure/", "") }

func readPressure(before, after string) *Pressure {
	var p Pressure
	for what, to := range map[string]*float64{"cpu": &p.CPU, "memory": &p.Memory, "io": &p.IO} {
		text, err := os.ReadFile(before + what + after)
		if err != nil {
			return nil
		}
		rest, ok := strings.CutPrefix(string(text), "some avg10=")
		if !ok {
			return nil
		}
		*to, _ = strconv.ParseFloat(strings.Fields(rest)[0], 64)
	}
	return &p
}

// groupsOf are the pressures of control groups, by the guest that alone is in it.
func groupsOf(machines []*roster.Machine) map[int]*Pressure {
	at := mounted()
	if at == "" {
		return nil
	}
	by := map[string][]int{}
	for _, m := range machines {
		if m.PID == 0 {
			continue
		}
		if g := group(strconv.Itoa(m.PID)); g != "" && g != "/" && g != group("self") {
			by[g] = append(by[g], m.PID)
		}
	}
	all := map[int]*Pressure{}
	for g, pids := range by {
		if len(pids) == 1 {
			all[pids[0]] = readPressure(path.Join(at, g)+"/", ".pressure")
		}
	}
	return all
}

// group is the process's in the hierarchy of version 2.
func group(pid string) string {
	text, _ := os.ReadFile("/proc/" + pid + "/cgroup")
	for line := range strings.Lines(string(text)) {
		if g, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return g
		}
	}
	return ""
}

// mounted is where that hierarchy is.
var mounted = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if before, _, ok := strings.Cut(line, " - cgroup2 "); ok {
			return strings.Fields(before)[4]
		}
	}
	return ""
})
