package runscript

import (
	"encoding/json"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// MovedTo is the file in a machine's directory which says to what host its guest was moved
// (paper 3.1). While it is there the guest is that host's, or on its way.
const MovedTo = "moved-to"

// Staging is the directory of the machines root in which machines are made, and lie while they come
// from another host, whose guest they are. StagingNote says there what is under way, in JSON: with a
// field Move, that.
const (
	Staging     = ".new"
	StagingNote = ".uml-machine"
)

// notMoved is asked under the lock: who marks a machine holds it, so that no start comes
// between.
func (s *start) notMoved() error {
	if s.seen == nil {
		s.plan("check", "%s is not there", s.dir.Join(MovedTo))
	}
	if err := s.hasCome(); err != nil {
		return err
	}
	f, err := s.dir.Open(MovedTo)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := f.Read(1000)
	if err != nil {
		return err
	}
	host, _, _ := strings.Cut(string(text), "\n")
	return fault.MachineMoved.Permanent("%s: the guest was moved to %s (start it there; uml-machine move %s %s goes on with a move that was interrupted, and with --abort takes it back)", f.Path, host, base(s.Dir), host)
}

// hasCome refuses a machine that is on its way here. What else lies in staging is started there: a
// throw-away guest that works on its discs.
func (s *start) hasCome() error {
	real, err := s.dir.Real()
	if err != nil || path.Base(path.Dir(real)) != Staging {
		return err
	}
	f, err := s.dir.Open(StagingNote)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := f.Read(1 << 20)
	if err != nil {
		return err
	}
	var note struct{ Move string }
	if err := json.Unmarshal(text, &note); err != nil {
		return fault.MachineMoved.Permanent("%s: %w", f.Path, err)
	}
	if note.Move != "" {
		return fault.MachineMoved.Permanent("%s: is no machine yet: it comes from another host", real)
	}
	return nil
}
