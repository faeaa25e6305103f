package runscript

import (
	"uml/fault"
	"uml/lock"
	"uml/netsetup"
)

// takeLock is step 3. Holding it proves that the guest is down, but for one that let
// its lock go and a lock file that was deleted: so that its user runs nothing in a
// jail is seen before anything is touched.
func (s *start) takeLock() error {
	s.plan("lock", "%s", s.dir.Join(lock.Name))
	s.plan("check", "no process runs in a jail as %s", s.m.User.Name)
	if s.DryRun {
		return nil
	}
	f, err := lock.Open(s.dir)
	if err != nil {
		return err
	}
	s.keep = append(s.keep, f)
	if err := lock.Take(f, s.m.User.UID, s.strays); err != nil {
		return err
	}
	if err := lock.Still(s.dir, f); err != nil {
		return err
	}
	return s.alone()
}

func (s *start) strays(line string) { s.Say(fault.StraysEnded, line) }

// alone prefers to say that the account is another machine's: that lasts.
func (s *start) alone() error {
	err := lock.Alone(s.dir.Join(lock.Name), s.m.User.UID)
	if err == nil {
		return nil
	}
	if foreign := netsetup.Foreign(s.m, s.host); fault.Code(foreign) == fault.MustMend {
		return foreign
	}
	return err
}

// exec looks at the lock file a last time. From before that look, this process is
// one that alone finds: of two starts that a deleted lock file has let come this far
// at least one sees the other.
func (s *start) exec(file string, args []string, last func() error) error {
	return s.room.Exec(file, args, func() error {
		if err := lock.Named(s.keep[0]); err != nil {
			return err
		}
		return last()
	})
}
