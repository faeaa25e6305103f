package pace

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Standing is who waits, in order, and who boots.
type Standing struct {
	Waiting []int  // processes
	Why     string // what the first waits for: "a slot", "pressure io 34 > 20"
	taken   []boot
}

// Booting is how many slots are taken where a guest has one for so long at most.
func (s *Standing) Booting(limit time.Duration) (n int) {
	for _, b := range s.taken {
		if b.standing(limit) {
			n++
		}
	}
	return n
}

// Place counts from 1; 0 of a process that is not in the queue.
func (s *Standing) Place(pid int) int { return slices.Index(s.Waiting, pid) + 1 }

// Look changes nothing, and takes no lock: what it finds was so a moment ago. A host on
// which nobody has waited since its boot has no queue.
func Look(dir string) (*Standing, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, unix.ENOENT) {
		return &Standing{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	list, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer list.Close()
	d := &directory{root, list}
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	s := &Standing{}
	for _, name := range names {
		pid := parseTicket(name)
		switch {
		case strings.HasPrefix(name, boots):
			if b, ok := d.read(name); ok {
				s.taken = append(s.taken, b)
			}
		case pid > 0 && unix.Kill(pid, 0) == nil: // else killed, and the next one removes it
			s.Waiting = append(s.Waiting, pid)
			if len(s.Waiting) == 1 {
				text, _ := d.ReadFile(name)
				s.Why = string(text)
			}
		}
	}
	return s, nil
}
