package shell

import (
	"fmt"
	"os"
	"sync"
	"time"

	"uml/mconsole"
	"uml/screen"
)

// A progress shows what is being done: at a terminal in one line that tells how long
// it has taken so far, else a line for each step.
type progress struct {
	s     *session
	began time.Time
	done  chan struct{}
	ended sync.WaitGroup

	mu    sync.Mutex
	step  string
	drawn bool
}

// progress begins with what was asked for, which is shown if it takes its time.
func (s *session) progress(what string) *progress {
	p := &progress{s: s, began: time.Now(), done: make(chan struct{}), step: what}
	if s.terminal {
		p.ended.Go(p.tick)
	}
	return p
}

func (p *progress) tick() {
	for second := time.NewTicker(time.Second); ; {
		select {
		case <-second.C:
			p.draw("")
		case <-p.done:
			second.Stop()
			return
		}
	}
}

// say is the next step.
func (p *progress) say(step string) {
	if step = mconsole.Clean(step); p.s.terminal {
		p.draw(step)
	} else {
		fmt.Fprintln(p.s.out, step)
	}
}

func (p *progress) draw(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if step != "" {
		p.step = step
	}
	p.drawn = true
	columns, _ := screen.Size(os.Stdout)
	fmt.Fprint(p.s.out, "\r", screen.Cut(fmt.Sprintf("(%d s) %s", int(time.Since(p.began).Seconds()), p.step), columns-1), eraseRight)
}

// end makes room for what comes after.
func (p *progress) end() {
	close(p.done)
	p.ended.Wait()
	if p.drawn {
		fmt.Fprint(p.s.out, "\r", eraseRight)
	}
}

// eraseRight is ECMA-48's EL: what is right of the cursor.
const eraseRight = "\x1b[K"
