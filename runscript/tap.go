package runscript

import "uml/netsetup"

// openTUN prepares a TAP that the kernel is to inherit: its arguments name the
// descriptor, so there must be one before the TAP is.
func (s *start) openTUN() (err error) {
	if s.m.HandsOver() && !s.DryRun {
		s.tap, err = netsetup.OpenTUN()
	}
	return err
}

// tapNumber is the descriptor; in a dry run the one that it would be.
func (s *start) tapNumber() int {
	if s.tap == nil {
		return netsetup.Handed
	}
	return int(s.tap.Fd())
}

// attachTAP opens the TAP, which the network's step has made.
func (s *start) attachTAP() error {
	if s.tap == nil {
		return nil
	}
	if err := netsetup.Attach(s.tap, s.m); err != nil {
		return err
	}
	s.room.Keep = append(s.room.Keep, uint(s.tapNumber()))
	return nil
}
