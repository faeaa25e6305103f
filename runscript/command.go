package runscript

import (
	"context"
	"errors"
	"os/exec"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/program"
)

// Command runs a program in exactly the jail, limits and privileges that the
// guest kernel gets, under the same locks, in place of this one. Its first word
// is a file of the jail, else one of the host, which is then brought in with its
// libraries like the kernel image. It returns only an error.
func Command(ctx context.Context, o Options, argv []string) error {
	signals := catch(ctx)
	defer signals.stop()
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.close()
	if err := errors.Join(s.checkOwner(), s.takeLock()); err != nil {
		return err
	}
	if err := s.notMoved(); err != nil {
		return err
	}
	if err := s.structure(); err != nil {
		return err
	}
	file, err := s.bringCommand(argv[0])
	if err != nil {
		return err
	}
	if err := s.enterGroup(); err != nil {
		return err
	}
	err = s.enterRoom()
	if err == nil {
		err = s.exec(file, argv, signals.last)
	}
	return errors.Join(err, elsewhere(s.unmakeUml))
}

// bringCommand returns the program's path in the jail.
func (s *start) bringCommand(name string) (string, error) {
	if s.room.Has(name) {
		return name, nil
	}
	host, err := exec.LookPath(name)
	if err == nil {
		host, err = filepath.Abs(host)
	}
	if err != nil {
		return "", fault.Usage.Permanent("%s: no such program, neither in the jail nor on the host", name)
	}
	f, err := handle.Open(host)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := s.executable(f); err != nil {
		return "", err
	}
	r, err := f.Reopen(unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer r.Close()
	p, err := program.Inspect(r, "program")
	if err != nil {
		return "", fault.Permanent("%s: %w", host, err)
	}
	at := "/" + path.Base(host)
	if err := s.room.Bring(f, at, jail.Execute); err != nil {
		return "", err
	}
	return at, s.libraries(host, p)
}
