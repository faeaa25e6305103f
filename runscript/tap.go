package runscript

import (
	"context"

	"uml/netsetup"
)

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

// claim gives the machine its network. The host answers for the guest from its first
// moment on, though the guest itself will only when it has booted: a TAP that is handed
// over does that too.
func (s *start) claim(ctx context.Context) (netsetup.News, error) {
	var held netsetup.News
	if s.tap == nil {
		f, news, err := netsetup.Hold(s.m, s.host)
		if f != nil {
			s.keep = append(s.keep, f)
			s.room.Keep = append(s.room.Keep, uint(f.Fd()))
		}
		if held = news; err != nil {
			return news, err
		}
	}
	news, err := netsetup.Up(ctx, s.m, s.host)
	if err == nil && s.tap != nil {
		err = s.attachTAP()
	}
	if len(held.Addresses) > 0 {
		news.On, news.Addresses = held.On, append(held.Addresses, news.Addresses...)
	}
	return news, err
}
