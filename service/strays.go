package service

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"uml/lock"
	"uml/settings"
)

// strays ends what a kernel that was killed before has left.
func (m *Machine) strays() error {
	if os.Geteuid() != 0 {
		return nil
	}
	left, err := m.left()
	if !left || err != nil {
		return err
	}
	s, err := settings.Read(m.dir)
	if err != nil {
		return err
	}
	return m.straysOf(s.User.UID)
}

// straysOf ends what a killed kernel has left. Nobody else holds the lock then; if
// somebody takes it meanwhile, a start for instance, there are no strays.
func (m *Machine) straysOf(uid int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	left, err := m.left()
	if !left || err != nil {
		return err
	}
	f, err := lock.Open(m.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = lock.Take(f, uid, func(string) {})
	var held *lock.Held
	if errors.As(err, &held) && held.Runs {
		return nil
	}
	return err
}

// left says whether anybody holds the lock.
func (m *Machine) left() (bool, error) {
	at, err := m.dir.Open(lock.Name)
	if err != nil {
		return false, ignore(err, unix.ENOENT)
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return false, err
	}
	f, err := at.Reopen(unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	holders, err := lock.Find(f)
	return len(holders) > 0, err
}
