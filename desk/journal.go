package desk

import (
	"fmt"
	"time"
)

// A journal writes the service's log, a line for each act. A log that is not read
// holds up who is served, after the answer, but never who is refused.
type journal struct {
	lines   chan string
	refused share // how many more lines of refusals are written now
	unsaid  int
}

func newJournal(say func(string)) *journal {
	j := &journal{lines: make(chan string, 256), refused: share{tokens: burst, at: time.Now()}}
	go func() {
		for line := range j.lines {
			say(line)
		}
	}()
	return j
}

func (j *journal) say(line string) { j.lines <- line }

// refuse tells of a connection that was refused, at a bounded rate. It is for the
// one goroutine that takes connections in.
func (j *journal) refuse(now time.Time, line string) {
	j.refused.fill(now)
	if j.refused.tokens < 1 {
		j.unsaid++
		return
	}
	if j.unsaid > 0 {
		line += fmt.Sprintf(" (and %d more refused before, which are not told)", j.unsaid)
	}
	select {
	case j.lines <- line:
		j.refused.tokens--
		j.unsaid = 0
	default:
		j.unsaid++
	}
}
