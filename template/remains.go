package template

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/lock"
)

// endRemains ends guests of builds that were killed: they would go on until their work is
// done, for nobody. The store is locked, so that none of them is a build's that lives.
func (s *Store) endRemains() error {
	locks, err := filepath.Glob(filepath.Join(s.Staging(), "*", "lock"))
	if err != nil {
		return err
	}
	for _, name := range locks {
		if err := endHolders(name); err != nil {
			return err
		}
	}
	return nil
}

// patience is for a kernel that is told to end: it does so at once.
const patience = 10 * time.Second

func endHolders(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// TERM has a kernel end its own helpers, of which KILL would leave some.
	for signal, end := unix.SIGTERM, time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		holders, err := lock.Find(f)
		if err != nil || len(holders) == 0 {
			return err
		}
		if time.Now().After(end) {
			if signal == unix.SIGKILL {
				return fault.StraysStay.Temporary("%s: held by %s, of a build that was killed, which does not end", name, lock.Describe(holders))
			}
			signal, end = unix.SIGKILL, time.Now().Add(patience)
		}
		for _, h := range holders {
			if err := tell(f, h.PID, signal); err != nil {
				return err
			}
		}
	}
}

// tell signals a process that still holds the lock when it cannot become another any more.
func tell(f *os.File, pid int, signal unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	holders, err := lock.Find(f)
	if err != nil {
		return err
	}
	for _, h := range holders {
		if h.PID == pid {
			if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}
