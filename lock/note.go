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
	ID      fault.ID  // of that message, "" in a note of before there were any
}

const (
	maxNote = 1000
	maxTime = 1 << 37 // some year below 10000, which JSON has no time after
)

// Leave writes it. Starts that fail one after another leave the time of the first.
// The guest inherits the lock's own descriptor, which cannot write, but on NFS: so
// what is read is not believed to be ours.
func Leave(dir *handle.Dir, n Note) error {
	if before := Read(dir); !n.Up && !before.Up && !before.Since.IsZero() {
		n.Since = before.Since
	}
	what, more := "failed", n.Message[:min(len(n.Message), maxNote)]
	if n.Up {
		what, more = "up", strconv.Itoa(n.PID)
	}
	at, err := judged(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	f, err := at.Reopen(unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	text := fmt.Sprintf("%s %d %s\n", what, n.Since.Unix(), more)
	if n.ID != "" {
		text += string(n.ID) + "\n" // a line of its own, which who knows none leaves unread
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// Read is the note; the zero Note if there is none, or only root may read it.
func Read(dir *handle.Dir) (n Note) {
	at, err := judged(dir)
	if err != nil {
		return n
	}
	defer at.Close()
	text, err := at.Read(2 * maxNote)
	if err != nil || len(text) == 2*maxNote {
		return n
	}
	line, second, _ := strings.Cut(string(text), "\n")
	what, rest, _ := strings.Cut(line, " ")
	since, message, _ := strings.Cut(rest, " ")
	s, err := strconv.ParseInt(since, 10, 64)
	if err != nil || s < 0 || s > maxTime || what != "up" && what != "failed" {
		return n
	}
	if what == "up" {
		pid, err := strconv.ParseUint(message, 10, 31)
		if err != nil {
			pid = 0
		}
		return Note{Up: true, PID: int(pid), Since: time.Unix(s, 0)}
	}
	id, _, _ := strings.Cut(second, "\n")
	return Note{Since: time.Unix(s, 0), Message: fault.Line(message), ID: fault.ID(fault.Line(id))}
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
