package lock

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// A Note is what the last start has left in the lock file for who looks: nothing
// of ours is resident that could be asked. Nothing depends on it.
type Note struct {
	Up      bool      // it became the kernel
	PID     int       // as which, if that is known
	Since   time.Time // then, or since when all starts have failed
	Message string    // of the last that failed
	ID      fault.ID  // of that message, and what it is counted as; "" in a note of before there were any
}

const (
	maxNote = 1000
	maxTime = 1 << 37 // some year below 10000, which JSON has no time after
	maxText = maxNote + maxCounts + maxReason + 100
)

// Leave writes it, and counts it. Starts that fail one after another leave the time of
// the first. The guest inherits the lock's own descriptor, which cannot write, but on NFS:
// so what is read is not believed to be ours.
func Leave(dir *handle.Dir, n Note) error {
	return leave(dir, func(before Note, c *Counts) Note {
		if !n.Up && !before.Up && !before.Since.IsZero() {
			n.Since = before.Since
		}
		c.add(n)
		return n
	})
}

// TakeBack leaves the note of before again, by a start that has left that it is up and
// could not become the kernel: it is not counted.
func TakeBack(dir *handle.Dir, before Note) error {
	return leave(dir, func(_ Note, c *Counts) Note {
		c.Starts = max(c.Starts, 1) - 1
		return before
	})
}

func leave(dir *handle.Dir, what func(before Note, c *Counts) Note) error {
	at, err := judged(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	before, counts := parseNote(at)
	now := what(before, &counts)
	text := now.line() + counts.line() + string(now.ID) + "\n"
	f, err := at.Reopen(unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// line is empty for no note at all.
func (n Note) line() string {
	what, more := "failed", n.Message[:min(len(n.Message), maxNote)]
	if n.Up {
		what, more = "up", strconv.Itoa(n.PID)
	}
	if n.Since.IsZero() {
		return "\n"
	}
	return fmt.Sprintf("%s %d %s\n", what, n.Since.Unix(), more)
}

// Read is the note; the zero Note if there is none, or only root may read it.
func Read(dir *handle.Dir) Note {
	n, _ := Tell(dir)
	return n
}

// Tell is the note and the counts, by one look.
func Tell(dir *handle.Dir) (n Note, c Counts) {
	at, err := judged(dir)
	if err != nil {
		return n, c
	}
	defer at.Close()
	return parseNote(at)
}

func parseNote(at *handle.File) (n Note, c Counts) {
	text, err := at.Read(maxText)
	if err != nil || len(text) == maxText {
		return n, c
	}
	line, more, _ := strings.Cut(string(text), "\n")
	numbers, id, _ := strings.Cut(more, "\n")
	c = parseCounts(numbers)
	what, rest, _ := strings.Cut(line, " ")
	since, message, _ := strings.Cut(rest, " ")
	s, err := strconv.ParseInt(since, 10, 64)
	if err != nil || s < 0 || s > maxTime || what != "up" && what != "failed" {
		return n, c
	}
	if what == "up" {
		pid, err := strconv.ParseUint(message, 10, 31)
		if err != nil {
			pid = 0
		}
		return Note{Up: true, PID: int(pid), Since: time.Unix(s, 0)}, c
	}
	n = Note{Since: time.Unix(s, 0), Message: fault.Line(message)}
	if id = strings.TrimSuffix(id, "\n"); isReason(id) {
		n.ID = fault.ID(id)
	}
	return n, c
}

// judged is the lock file, if it is root's alone.
func judged(dir *handle.Dir) (*handle.File, error) {
	at, err := dir.Open(Name)
	if err != nil {
		return nil, err
	}
	if err := judgeFile(&at.Stat, at.Path); err != nil {
		at.Close()
		return nil, err
	}
	return at, nil
}
