package service

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"uml/fault"
)

// A Progress prints a line for each machine that is done, as it is done. On a
// terminal the last line says which are not.
type Progress struct {
	Out      io.Writer
	Terminal io.Writer // nil: there is none

	mu      sync.Mutex
	waiting []string
	shown   bool
}

// Each does the same to all machines at once and returns what each said, in order.
func (p *Progress) Each(all []*Machine, do func(*Machine) (Stopped, error)) []error {
	errs := make([]error, len(all))
	var work sync.WaitGroup
	for i, m := range all {
		p.begin(m.Name)
		work.Go(func() {
			s, err := do(m)
			p.done(m.Name, s, err)
			errs[i] = err
		})
	}
	stop := make(chan struct{})
	var shows sync.WaitGroup
	shows.Go(func() { p.show(stop) })
	work.Wait()
	close(stop)
	shows.Wait()
	return errs
}

func (p *Progress) begin(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, name)
}

func (p *Progress) done(name string, s Stopped, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, n := range p.waiting {
		if n == name {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			break
		}
	}
	p.clear()
	if err == nil {
		fmt.Fprintln(p.Out, s.Line(name))
	}
}

// Line says how a machine's stop went.
func (s Stopped) Line(name string) string {
	line := fmt.Sprintf("%s: %v", name, s.Outcome)
	if s.Outcome >= Clean {
		line += fmt.Sprintf(" (%.1fs)", s.Took.Seconds())
	}
	if s.Why != nil {
		line += ": " + fault.Line(s.Why.Error())
	}
	if s.Back != nil {
		line += "; its supervisor was not told, and may start it again: " + fault.Line(s.Back.Error())
	}
	return line
}

// show keeps the last line of a terminal up to date.
func (p *Progress) show(stop <-chan struct{}) {
	if p.Terminal == nil {
		return
	}
	for {
		select {
		case <-stop:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.clear()
			return
		case <-time.After(time.Second):
			p.mu.Lock()
			p.clear()
			if n := len(p.waiting); n > 0 {
				line := fmt.Sprintf("waiting for %d: %s", n, strings.Join(p.waiting, " "))
				fmt.Fprint(p.Terminal, line[:min(len(line), 78)])
				p.shown = true
			}
			p.mu.Unlock()
		}
	}
}

// clear empties the last line (ECMA-48, EL).
func (p *Progress) clear() {
	if p.shown {
		fmt.Fprint(p.Terminal, "\r\x1b[K")
		p.shown = false
	}
}
