package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"uml/fault"
)

// Statuses of a line.
const (
	OK   = "ok"
	Warn = "warn" // may be amiss, but stops no start
	Fail = "FAIL" // stops a start, or harms another machine
)

// A Line is one check of one machine. Fields are only ever added.
type Line struct {
	Machine string   `json:"machine"` // "": the host
	Check   string   `json:"check"`
	Status  string   `json:"status"`
	ID      fault.ID `json:"id,omitempty"` // of what is amiss, as in uml-messages(7)
	Text    string   `json:"text"`         // what was found; of a FAIL the mend too
}

// A Report is every line, in the order of a start.
type Report struct {
	Lines []Line
	errs  []error
}

// Code is 0 without a FAIL, 100 if one lasts until somebody acts, else 111.
func (r *Report) Code() int { return fault.Code(errors.Join(r.errs...)) }

// JSON prints an array of one object a line.
func (r *Report) JSON(w io.Writer) error {
	lines := r.Lines
	if lines == nil {
		lines = []Line{}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(lines)
}

// hostName stands for the host in print; it is no machine's name.
const hostName = "(host)"

// Print prints columns for a person, with colour for a terminal.
func (r *Report) Print(w io.Writer, colour bool) error {
	out := bufio.NewWriter(w)
	name, check := 0, 0
	for _, l := range r.Lines {
		name = max(name, len(l.title()))
		check = max(check, len(l.Check))
	}
	for _, l := range r.Lines {
		fmt.Fprintf(out, "%s  %-*s  %-*s  %s\n", paint(l.Status, colour), name, l.title(), check, l.Check, l.Text)
	}
	return out.Flush()
}

func (l Line) title() string {
	if l.Machine == "" {
		return hostName
	}
	return l.Machine
}

func paint(status string, colour bool) string {
	s := fmt.Sprintf("%-4s", status)
	if !colour {
		return s
	}
	code := map[string]int{OK: 32, Warn: 33, Fail: 31}[status] // green, yellow, red
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, s)
}

func (r *Report) take(s *section) {
	r.Lines = append(r.Lines, s.lines...)
	r.errs = append(r.errs, s.errs...)
}

// A section is the lines of one machine, or of the host.
type section struct {
	machine string
	lines   []Line
	errs    []error
}

// add makes every text fit for a line: a guest's user may have named files in it.
func (s *section) add(check, status string, id fault.ID, text string) {
	s.lines = append(s.lines, Line{fault.Line(s.machine), check, status, id, fault.Line(text)})
}

func (s *section) ok(check, format string, args ...any) {
	s.add(check, OK, "", fmt.Sprintf(format, args...))
}

func (s *section) warn(check, format string, args ...any) {
	s.add(check, Warn, fault.Warning, fmt.Sprintf(format, args...))
}

// fail adds a line for each part of err; nil adds none.
func (s *section) fail(check string, err error) {
	for _, part := range fault.Parts(err) {
		s.add(check, Fail, fault.IDOf(part), part.Error())
		s.errs = append(s.errs, part)
	}
}
