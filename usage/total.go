package usage

import (
	"strconv"
	"strings"

	"uml/handle"
	"uml/roster"
)

// A Total is what a guest has taken since its kernel was started or, where it has a
// control group of its own, since that was made. It never falls but with the kernel, so
// what cannot be told exactly is not told: a number below 0 is not known.
type Total struct {
	CPU           float64 // seconds
	Read, Written int64   // bytes of discs
	Reads, Writes int64   // operations, on each block device that they pass; by the control group alone
	Swapped       int64   // bytes, now; by the control group alone
	In, Out       Count   // as the guest sees them
}

// Totals are those of the machines that are up, by machine directory.
func Totals(machines []*roster.Machine) map[string]Total {
	packets, groups := devices(), groupsOf(machines)
	all := map[string]Total{}
	for _, m := range machines {
		if !runs(m) {
			continue
		}
		t := Total{-1, -1, -1, -1, -1, -1, Count{-1, -1}, Count{-1, -1}}
		t.processes(m.PID)
		if group, ok := groups[m.PID]; ok {
			t.group(group)
		}
		if p, ok := packets[m.TAP]; ok {
			t.In, t.Out = p.In, p.Out
		}
		all[m.Dir] = t
	}
	return all
}

// tries: a guest that starts processes all the time is caught between two of their ends.
const tries = 4

func (t *Total) processes(pid int) {
	for range tries {
		c, ok := count(pid)
		switch {
		case !ok || c.cpu < 0:
			return
		case c.whole:
			t.CPU, t.Read, t.Written = float64(c.cpu)/1e9, c.read, c.written
			return
		}
	}
}

// group takes what the kernel has counted for the whole group (admin-guide/cgroup-v2.rst).
func (t *Total) group(dir string) {
	if text, err := handle.ReadProc(dir + "/cpu.stat"); err == nil {
		t.CPU = float64(field(string(text), "usage_usec")) / 1e6
	}
	if text, err := handle.ReadProc(dir + "/io.stat"); err == nil {
		t.Reads, t.Writes = operations(string(text))
	}
	if text, err := handle.ReadProc(dir + "/memory.swap.current"); err == nil {
		t.Swapped, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
}

// operations adds up the lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".
func operations(iostat string) (reads, writes int64) {
	for _, word := range strings.Fields(iostat) {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "rios":
			reads += n
		case "wios":
			writes += n
		}
	}
	return reads, writes
}
