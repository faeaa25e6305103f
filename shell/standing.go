package shell

import (
	"context"
	"fmt"
	"strings"
	"time"

	"uml/mconsole"
	"uml/request"
)

// standing asks how the machine stands.
func (s *session) standing(ctx context.Context, c *command, args []string) (*request.Machine, error) {
	if len(args) > 0 {
		return nil, c.usage()
	}
	a, err := s.ask(ctx, request.Request{Act: request.Status})
	if err == nil && a.Machine == nil {
		a.Machine = &request.Machine{}
	}
	if err != nil {
		return nil, err
	}
	return a.Machine, nil
}

// print prints lines that may have a guest's words in them.
func (s *session) print(format string, args ...any) {
	fmt.Fprintln(s.out, mconsole.Clean(fmt.Sprintf(format, args...)))
}

// greet says how the guest stands, in a line or two, and what to do.
func (s *session) greet(m *request.Machine) {
	s.state(m)
	if n := len(m.Notes) + len(m.Faults); n > 0 {
		s.print("%s", append(m.Notes, m.Faults...)[0])
	}
	s.print("help tells what can be done here, exit logs out.")
}

func (s *session) state(m *request.Machine) {
	text := m.Name + " is " + m.State
	if m.Since != nil {
		text += " since " + m.Since.Local().Format("2006-01-02 15:04:05") + " (" + since(time.Since(*m.Since)) + ")"
	}
	if m.Why != "" {
		text += ": " + m.Why
	}
	s.print("%s", text)
	if m.Supervised == "" {
		s.print("It is not supervised: the host's administrator can activate it.")
	}
}

func (s *session) status(ctx context.Context, c *command, args []string) error {
	m, err := s.standing(ctx, c, args)
	if err != nil {
		return err
	}
	s.state(m)
	for _, n := range append(m.Notes, m.Faults...) {
		s.print("%s", n)
	}
	s.print("memory     %s", memory(m))
	if len(m.Addresses) > 0 {
		s.print("addresses  %s", strings.Join(m.Addresses, ", "))
	}
	for _, d := range m.Discs {
		s.print("%s", disc(d))
	}
	return nil
}

func (s *session) discs(ctx context.Context, c *command, args []string) error {
	m, err := s.standing(ctx, c, args)
	if err != nil {
		return err
	}
	for _, d := range m.Discs {
		s.print("%s", disc(d))
	}
	return nil
}

func disc(d request.Disc) string {
	return fmt.Sprintf("%-10s %s, %s of it in use on the host", d.Device, size(d.Size), size(d.Allocated))
}

func (s *session) memory(ctx context.Context, c *command, args []string) error {
	m, err := s.standing(ctx, c, args)
	if err == nil {
		s.print("%s", memory(m))
	}
	return err
}

func memory(m *request.Machine) string {
	if m.Resident == 0 {
		return size(m.Promised)
	}
	return fmt.Sprintf("%s, %s of it in use on the host", size(m.Promised), size(m.Resident))
}

func (s *session) addresses(ctx context.Context, c *command, args []string) error {
	m, err := s.standing(ctx, c, args)
	if err != nil {
		return err
	}
	if len(m.Addresses) == 0 {
		s.print("it has none")
	}
	for _, a := range m.Addresses {
		s.print("%s", a)
	}
	return nil
}

// size in the units of the settings.
func size(n int64) string {
	for _, unit := range []struct {
		shift  uint
		letter string
	}{{30, "G"}, {20, "M"}, {10, "K"}} {
		if n >= 1<<unit.shift && (n%(1<<unit.shift) == 0 || n >= 10<<unit.shift) {
			return fmt.Sprintf("%d%s", n>>unit.shift, unit.letter)
		}
		if n >= 1<<unit.shift {
			return fmt.Sprintf("%.1f%s", float64(n)/float64(int64(1)<<unit.shift), unit.letter)
		}
	}
	return fmt.Sprint(n)
}

// since is a time in its two greatest units.
func since(d time.Duration) string {
	switch m := int64(d / time.Minute); {
	case m < 1:
		return fmt.Sprintf("%d s", int64(d/time.Second))
	case m < 60:
		return fmt.Sprintf("%d min", m)
	case m < 48*60:
		return fmt.Sprintf("%d h %d min", m/60, m%60)
	default:
		return fmt.Sprintf("%d days %d h", m/60/24, m/60%24)
	}
}
