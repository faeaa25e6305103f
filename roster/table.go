package roster

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"uml/screen"
)

// Table prints machines as lines of at most so many columns; 0 is any width, and
// then a machine's reasons and notes stand in its own line, for who searches it.
func Table(machines []*Machine, columns int) []string {
	rows := [][]string{{"NAME", "ACT", "STATE", "PID", "SINCE", "RES/MEM", "DISC", "ADDRESS"}}
	for _, m := range machines {
		rows = append(rows, m.row())
	}
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	if columns > 0 {
		width[0] = min(width[0], 20)
	}
	var lines []string
	for i, r := range rows {
		var b strings.Builder
		for k, cell := range r {
			if k == 0 && columns > 0 {
				cell = screen.Cut(cell, width[0])
			}
			pad := strings.Repeat(" ", width[k]-utf8.RuneCountInString(cell))
			if k == len(r)-1 {
				pad = ""
			}
			b.WriteString(cell + pad + " ")
		}
		line := strings.TrimRight(b.String(), " ")
		var more []string
		if i > 0 {
			more = machines[i-1].remarks()
		}
		if columns == 0 && len(more) > 0 {
			line += "  (" + strings.Join(more, "; ") + ")"
			more = nil
		}
		lines = append(lines, screen.Cut(line, columns))
		for _, l := range more {
			lines = append(lines, screen.Cut("  "+l, columns))
		}
	}
	return lines
}

func (m *Machine) row() []string {
	act, pid, since, memory := "-", "-", "-", "-"
	if m.Promised > 0 { // what is wrong in the settings promises nothing
		memory = Size(m.Promised)
	}
	if m.Activated {
		act = "yes"
	}
	if m.PID != 0 {
		pid = fmt.Sprint(m.PID)
	}
	if m.Since != nil {
		since = span(time.Since(*m.Since))
	}
	if m.Resident > 0 {
		memory = Size(m.Resident) + "/" + memory
	}
	var have, allocated int64
	for _, d := range m.Discs {
		have, allocated = have+d.Size, allocated+d.Allocated
	}
	disc := "-"
	if len(m.Discs) > 0 {
		disc = Size(allocated) + "/" + Size(have)
	}
	address := "-"
	if len(m.Addresses) > 0 {
		address = m.Addresses[0]
	}
	if n := len(m.Addresses); n > 1 {
		address += fmt.Sprintf(" +%d", n-1)
	}
	return []string{m.Name, act, m.State, pid, since, memory, disc, address}
}

func parens(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// remarks are what does not fit into a column.
func (m *Machine) remarks() (all []string) {
	if m.Why != "" {
		why := m.State + ": " + m.Why
		if m.State == Failing && m.Since != nil {
			why = fmt.Sprintf("failing since %s%s: %s", m.Since.Local().Format(time.DateTime), parens(string(m.WhyID)), m.Why)
		}
		all = append(all, why)
	}
	all = append(all, m.Notes...)
	for _, f := range m.Faults {
		all = append(all, "fault: "+f)
	}
	return all
}

// Size is in the words of settings/mem, three digits of it.
func Size(n int64) string {
	unit := 0
	f := float64(n)
	for f >= 1000 && unit < 4 {
		f, unit = f/1024, unit+1
	}
	if f < 9.95 && unit > 0 && f != float64(int64(f)) {
		return fmt.Sprintf("%.1f%c", f, "BKMGT"[unit])
	}
	return fmt.Sprintf("%.0f%c", f, "BKMGT"[unit])
}

// span is a time of at most five characters.
func span(d time.Duration) string {
	d = max(d, 0)
	s := int(d.Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02d", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02d", s/3600, s/60%60)
	case s < 100*86400:
		return fmt.Sprintf("%dd%02d", s/86400, s/3600%24)
	}
	return fmt.Sprintf("%dd", s/86400)
}
