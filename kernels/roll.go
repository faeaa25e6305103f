package kernels

import (
	"errors"
	"fmt"
	"os"

	"uml/fault"
	"uml/kernel"
	"uml/settings"
)

// Roll has machines run another kernel from their next start on: those that are named, or
// all whose kernel is one of the store. No machine is changed if one of them cannot run
// it; each is changed whole or not at all.
func (s *Store) Roll(name, root string, named []string, dry bool, say func(string)) error {
	if _, err := s.Kernel(name); err != nil {
		return err
	}
	f, err := os.Open(s.image(name))
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := kernel.Inspect(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	all, err := s.machines(root, named)
	defer closeAll(all)
	if err != nil {
		return err
	}
	move, err := s.movable(name, all, named != nil, i)
	if err != nil {
		return err
	}
	running, err := programs()
	if err != nil {
		return err
	}
	pids, err := s.runs(name, running)
	if err != nil {
		return err
	}
	for _, u := range move {
		if u.m.Kernel != s.image(name) && !dry {
			if err := settings.Write(u.dir, "kernel", s.image(name)); err != nil {
				return err
			}
		}
		say(u.moved(s.image(name), pids, dry))
	}
	if len(all) == 0 || len(move) == 0 {
		say("no machine has a kernel of the store")
	}
	return nil
}

// movable are the machines that are to run it, and can.
func (s *Store) movable(name string, all []*Use, named bool, i *kernel.Image) (move []*Use, errs error) {
	for _, u := range all {
		if !named && u.kernel == "" {
			continue
		}
		if u.m.Net.Kind != settings.None {
			if _, err := i.Transport(u.m.Transport); err != nil {
				errs = errors.Join(errs, fault.Permanent("%s: settings/transport is %v, and %s %w", u.Machine, u.m.Transport, name, err))
				continue
			}
		}
		move = append(move, u)
	}
	return move, errs
}

// moved says what became of one.
func (u *Use) moved(image string, pids []int, dry bool) string {
	text := u.Machine + ": "
	switch {
	case u.m.Kernel == image:
		text += "has it already"
	case dry:
		text += fmt.Sprintf("settings/kernel would be %s (is %s)", image, u.m.Kernel)
	default:
		text += fmt.Sprintf("settings/kernel is %s (was %s)", image, u.m.Kernel)
	}
	if u.pid != 0 && !has(pids, u.pid) {
		text += "; its guest runs, and moves at its next restart"
	}
	if u.m.Initrd != "" {
		text += fmt.Sprintf("; warning: its own settings/initrd, %s, may have modules of another kernel (uml-disk initrd writes it anew)", u.m.Initrd)
	}
	return text
}

func has(pids []int, pid int) bool {
	for _, p := range pids {
		if p == pid {
			return true
		}
	}
	return false
}
