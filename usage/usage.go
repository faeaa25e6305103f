// Package usage measures what running guests take of the host: CPU, memory, disc,
// packets, pressure. All of it is read from the host's /proc and cgroups, nothing
// from the guest.
//
// A guest is its kernel's process and that one's children: with ptrace each of the
// guest's address spaces is a child, whose CPU is its own, and one does the discs'
// I/O. Children that have ended are in the kernel's own sum once it has waited for
// them, so nothing is lost; what is not the kernel's direct child is not seen.
package usage

import (
	"strconv"
	"strings"
	"time"

	"uml/handle"
	"uml/pressure"
	"uml/process"
	"uml/roster"
)

// A Guest is what one takes. A number below 0 is not known.
type Guest struct {
	*roster.Machine
	CPU      float64 // of one processor
	Resident int64   // bytes of the kernel's process, which has all of the guest's RAM mapped that was touched
	Swapped  int64
	Read     float64 // bytes of discs a second
	Written  float64
	In, Out  float64        // packets a second, as the guest sees them
	Pressure *pressure.Some // of its control group, if it has one for itself
}

// counts are what only grows while the kernel lives.
type counts struct {
	at            time.Time
	start         uint64 // of the process, in the kernel's ticks: its pid may be another's by now
	cpu           int64  // nanoseconds
	read, written int64
	in, out       int64
	whole         bool // no child ended meanwhile, to be counted twice or not at all
}

// A Sampler compares each look with the one before.
type Sampler struct {
	before map[string]counts // by machine directory
}

// Sample measures the machines that are up, in their order. Rates of one that was
// not, or not the same kernel, at the look before are not known.
func (s *Sampler) Sample(machines []*roster.Machine) (guests []*Guest) {
	now := map[string]counts{}
	packets, swapping, groups := devices(), swapUsed(), groupsOf(machines)
	for _, m := range machines {
		if !runs(m) {
			continue
		}
		g := &Guest{Machine: m}
		if group, ok := groups[m.PID]; ok {
			if p, err := pressure.Group(group); err == nil {
				g.Pressure = &p
			}
		}
		c, ok := count(m.PID)
		if !ok {
			continue // it has just ended
		}
		c.in, c.out = -1, -1
		if p, ok := packets[m.TAP]; ok {
			c.in, c.out = p.In.Packets, p.Out.Packets
		}
		g.Resident = m.Resident
		if swapping {
			g.Swapped = swapped(m.PID)
		}
		before, ok := s.before[m.Dir]
		g.rates(before, c, ok && before.start == c.start)
		now[m.Dir] = c
		guests = append(guests, g)
	}
	s.before = now
	return guests
}

// runs: its kernel is there, and its start no more.
func runs(m *roster.Machine) bool {
	return (m.State == roster.Up || m.State == roster.Paused || m.State == roster.Stopping) && m.Resident > 0
}

func (g *Guest) rates(a, b counts, same bool) {
	seconds := b.at.Sub(a.at).Seconds()
	rate := func(x, y int64) float64 {
		if !same || seconds <= 0 || x < 0 || y < x {
			return -1
		}
		return float64(y-x) / seconds
	}
	g.CPU = rate(a.cpu, b.cpu)
	if g.CPU > 0 {
		g.CPU /= 1e9
	}
	g.Read, g.Written = rate(a.read, b.read), rate(a.written, b.written)
	g.In, g.Out = rate(a.in, b.in), rate(a.out, b.out)
}

// maxChildren are as many children of a kernel as are looked at: what takes more, as a
// guest can make its kernel have, is not known.
const maxChildren = 1024

// count looks at the kernel's process and its children.
func count(pid int) (c counts, ok bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	p, err := process.Look(pid)
	if err != nil {
		return c, false
	}
	c.at = time.Now()
	c.start = p.Start
	c.cpu = int64(p.Took + p.Ended)
	c.read, c.written = io(proc)
	text, _ := handle.ReadProc(proc + "/task/" + strconv.Itoa(pid) + "/children")
	children := strings.Fields(string(text))
	if len(children) > maxChildren {
		c.cpu, c.read, c.written = -1, -1, -1
		return c, true
	}
	for _, child := range children {
		n, _ := strconv.Atoi(child)
		if p, err := process.Look(n); err == nil && p.Parent == pid {
			c.cpu += int64(p.Took)
			if r, w := io("/proc/" + child); r >= 0 && c.read >= 0 {
				c.read, c.written = c.read+r, c.written+w
			}
		}
	}
	after, _ := process.Look(pid)
	c.whole = after.EndFaults == p.EndFaults
	return c, true
}

// io is what the process has had discs read and written; -1 without the right.
func io(proc string) (read, written int64) {
	text, err := handle.ReadProc(proc + "/io")
	if err != nil {
		return -1, -1
	}
	return field(string(text), "read_bytes:"), field(string(text), "write_bytes:")
}

// field is the number after a word at a line's start; 0 if there is none.
func field(text, word string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
			return n
		}
	}
	return 0
}

// swapped is what of the process's memory is in the host's swap, the guest's RAM
// with it. The kernel walks all of its page tables for that, so it is asked only
// where something is swapped out at all.
func swapped(pid int) int64 {
	text, err := handle.ReadProc("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return -1
	}
	return field(string(text), "Swap:") << 10
}

func swapUsed() bool {
	text, _ := handle.ReadProc("/proc/meminfo")
	return field(string(text), "SwapTotal:") > field(string(text), "SwapFree:")
}

// A Count is of packets.
type Count struct{ Packets, Bytes int64 }

// traffic is as the guest sees it: what the host receives the guest has sent.
type traffic struct{ In, Out Count }

// devices are what each interface of this network namespace has received and sent.
func devices() map[string]traffic {
	text, _ := handle.ReadProc("/proc/thread-self/net/dev")
	all := map[string]traffic{}
	for line := range strings.Lines(string(text)) {
		name, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if !ok || len(f) < 10 {
			continue
		}
		var n [10]int64
		for i := range n {
			n[i], _ = strconv.ParseInt(f[i], 10, 64)
		}
		all[strings.TrimSpace(name)] = traffic{Out: Count{n[1], n[0]}, In: Count{n[9], n[8]}}
	}
	return all
}
