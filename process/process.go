// Package process is what the host's /proc/PID/stat tells of a process (proc_pid_stat(5)).
package process

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"uml/fault"
	"uml/handle"
)

// A Stat is one look at a process.
type Stat struct {
	State     byte // R, S, T, Z and so on
	Parent    int
	Took      time.Duration // of processors
	Ended     time.Duration // of processors, by its children that have ended, once it has waited for them
	EndFaults int64         // minor page faults of those: each has some
	Start     uint64        // ticks (Hertz) from the host's boot to its fork; an exec does not change it
}

// Hertz is how many ticks a second has in /proc, on every architecture there is (USER_HZ).
const Hertz = 100

// Look fails with ENOENT or ESRCH if there is none, and fault.Temporary if it makes no sense.
func Look(pid int) (Stat, error) {
	text, err := handle.ReadProc("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Stat{}, err
	}
	return Parse(string(text))
}

// Parse reads the file's text. The program may have given itself a name with spaces and brackets.
func Parse(text string) (s Stat, err error) {
	words := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(words) < 20 {
		return s, fault.Temporary("%q is no process's stat", text)
	}
	number := func(field int) (n int64) {
		n, e := strconv.ParseInt(words[field-3], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	ticks := func(field int) time.Duration { return time.Duration(number(field)) * (time.Second / Hertz) }
	s = Stat{
		State:     words[0][0],
		Parent:    int(number(4)),
		EndFaults: number(11),
		Took:      ticks(14) + ticks(15),
		Ended:     ticks(16) + ticks(17),
		Start:     uint64(number(22)),
	}
	if err != nil {
		return Stat{}, fault.Temporary("%q is no process's stat: %w", text, err)
	}
	return s, nil
}

// An ID names a process for good: its number may be another's later.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Self is the one that asks.
func Self() (ID, error) {
	s, err := Look(os.Getpid())
	return ID{os.Getpid(), s.Start}, err
}

// Lives: what cannot be read is gone. A zombie has let all go but its number.
func (id ID) Lives() bool {
	s, err := Look(id.PID)
	return err == nil && s.Start == id.Start && s.State != 'Z' && s.State != 'X'
}
