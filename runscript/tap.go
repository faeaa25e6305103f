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
	if err := netsetup.Attach(s.tap, s.m); err != nil {
		return err
	}
	s.room.Keep = append(s.room.Keep, uint(s.tapNumber()))
	return nil
}

// hold makes the host answer for the guest from now on, if the guest itself will
// only when it has booted. A TAP that is handed over does that.
func (s *start) hold() error {
	if s.tap != nil {
		return s.attachTAP()
	}
	f, err := netsetup.Hold(s.m, s.host)
	if f != nil {
		s.keep = append(s.keep, f)
		s.room.Keep = append(s.room.Keep, uint(f.Fd()))
	}
	return err
}
