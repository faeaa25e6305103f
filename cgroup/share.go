package cgroup

import (
	"fmt"
	"strings"

	"uml/settings"
)

// A Share is what one guest's group is to have.
type Share struct {
	Machine   *settings.Machine
	Files     []uint64 // st_dev of its discs' files
	Unswapped bool     // nothing in the group is swapped out
}

// A value is a file of the group and what is written to it.
type value struct {
	controller string
	file, text string
	maybe      bool // the kernel may have been built without the file
}

func (v value) String() string { return v.file + " " + v.text }

// values are all that a group is set to, with limits on the devices, defaults too: what it was
// before, it may have still. was is its io.max, which has a line for each device that has a limit.
func (s *Share) values(on []Device, was string) []value {
	m := s.Machine
	all := []value{
		{"cpu", "cpu.weight", fmt.Sprint(m.CPU.Weight), false},
		{"cpu", "cpu.max", processors(m.CPU.Limit), false},
		{"io", "io.weight", fmt.Sprintf("default %d", m.IO.Weight), true},
		{"io", "io.bfq.weight", fmt.Sprintf("default %d", bfqWeight(m.IO.Weight)), true},
	}
	limited := map[string]bool{}
	for _, d := range on {
		limited[string(d)] = true
		all = append(all, value{"io", "io.max", fmt.Sprintf("%s rbps=%s wbps=%s riops=%s wiops=%s", d,
			most(m.IO.Read), most(m.IO.Write), most(m.IO.Reads), most(m.IO.Writes)), false})
	}
	for line := range strings.Lines(was) {
		if f := strings.Fields(line); len(f) > 0 && !limited[f[0]] {
			all = append(all, value{"io", "io.max", f[0] + " rbps=max wbps=max riops=max wiops=max", false})
		}
	}
	ram := settings.Size(0)
	if m.Overhead > 0 {
		ram = m.Mem + m.Overhead
	}
	swap := "max"
	if s.Unswapped {
		swap = "0"
	}
	return append(all,
		value{"memory", "memory.max", most(ram), false},
		value{"memory", "memory.swap.max", swap, !s.Unswapped},
		// A guest that lost one of its processes would be a guest with a random fault.
		value{"memory", "memory.oom.group", "1", true},
		value{"pids", "pids.max", most(m.PIDs), false})
}

// most is a number, 0 being none.
func most[N settings.Size | int](n N) string {
	if n == 0 {
		return "max"
	}
	return fmt.Sprint(int64(n))
}

// processors is a limit as time in each tenth of a second, both in microseconds.
func processors(hundredths int) string {
	if hundredths == 0 {
		return "max 100000"
	}
	return fmt.Sprintf("%d 100000", hundredths*1000)
}

// bfqWeight brings a weight to what BFQ takes, 1 to 1000, with 100 for 100, as systemd
// does (src/basic/cgroup-util.h, BFQ_WEIGHT).
func bfqWeight(w int) int {
	if w <= 100 {
		return w
	}
	return 100 + (w-100)*900/9900
}
