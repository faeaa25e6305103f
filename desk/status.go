package desk

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/request"
	"uml/roster"
)

// login says whether the account may log in now (paper 3.4).
func (k *ask) login() (outcome, error) {
	if err := k.d.noStart(""); err != nil {
		return outcome{}, err
	}
	o, err := k.status()
	o.answer.Keys = k.d.keys
	return o, err
}

// noStart is an error, before's and the first line of machines-nostart, while that is
// there.
func (d *Desk) noStart(before string) error {
	name := d.machines + "-nostart"
	var st unix.Stat_t
	err := unix.Lstat(name, &st)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fault.Temporary("look for %s: %w", name, err)
	}
	line := firstLine(name)
	if line == "" {
		line = "guests are kept down for now, and nobody logs in"
	}
	return fault.Temporary("%s%s", before, line)
}

// firstLine is that of a file of the administrator's; "" if it cannot be read.
func firstLine(name string) string {
	f, err := handle.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	if f.Regular() != nil {
		return ""
	}
	text, err := f.Read(1000)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return fault.Line(strings.TrimSpace(line))
}

func (k *ask) status() (outcome, error) {
	round, err := roster.NewRound(k.d.service)
	if err != nil {
		return outcome{}, err
	}
	m, err := round.Machine(k.a.real)
	if err != nil {
		return outcome{}, err
	}
	if err := k.a.still(); err != nil { // it was looked at by its path
		return outcome{}, err
	}
	return outcome{answer: request.Answer{Machine: standing(m)}, note: m.State}, nil
}

// standing is what is of use to the account.
func standing(m *roster.Machine) *request.Machine {
	s := &request.Machine{
		Name: m.Name, Supervised: m.Supervised, State: m.State, Why: m.Why, Since: m.Since, PID: m.PID,
		Promised: m.Promised, Resident: m.Resident, Addresses: m.Addresses, Notes: m.Notes, Faults: m.Faults,
	}
	for _, d := range m.Discs {
		s.Discs = append(s.Discs, request.Disc(d))
	}
	return s
}
