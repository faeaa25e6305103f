package service

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/runscript"
	"uml/settings"
	"uml/supervisor"
)

// Link is where the machine is linked to be activated.
func (m *Machine) Link() string { return path.Join(m.into, "uml-"+m.Name) }

// Activate links the machine into the service directory, if it can be started at
// all. One that is activated already is left as it is. The link is made in one
// step: svscan finds it whole or not at all.
func (m *Machine) Activate(say func(string)) error {
	if _, err := settings.Read(m.dir); err != nil {
		return err
	}
	if err := m.checkRun(); err != nil {
		return err
	}
	there, err := m.linked()
	if err != nil {
		return err
	}
	if !there {
		if err := os.Symlink(m.Real, m.Link()); err != nil {
			return m.linkFault(err)
		}
	}
	if err := supervisor.Rescan(m.into); err != nil {
		return err
	}
	m.sayDown(say)
	return nil
}

// checkRun asks for what supervise starts.
func (m *Machine) checkRun() error {
	run := path.Join(m.Real, "run")
	err := unix.Access(run, unix.X_OK)
	if errors.Is(err, unix.ENOENT) {
		return fault.Permanent("%s: there is no such file (try: ln -s %s %s)", run, runscript.Program(), run)
	}
	if err != nil {
		return fault.Permanent("%s: cannot be executed: %w", run, err)
	}
	return nil
}

// sayDown: activating is no order to start.
func (m *Machine) sayDown(say func(string)) {
	if _, err := os.Lstat(path.Join(m.Real, "down")); err == nil {
		say(fmt.Sprintf("%s: has a file named down, and is not started before: uml-ctl up %s", m.Name, m.Name))
		return
	}
	if s, err := supervisor.Read(m.dir); err == nil && s.Supervised && s.Want != supervisor.Up {
		say(fmt.Sprintf("%s: was told to stay down; to start it: uml-ctl up %s", m.Name, m.Name))
	}
}

// Active says whether the machine is activated, and whether its supervisor, if it has one,
// is to have its guest up.
func (m *Machine) Active() (linked, up bool, err error) {
	if linked, err = m.linked(); err != nil {
		return false, false, err
	}
	s, err := supervisor.Read(m.dir)
	if err != nil || !s.Supervised {
		return linked, false, err
	}
	return linked, s.Want == supervisor.Up || s.Want == supervisor.AsIs && s.PID != 0, nil
}

// linked says whether the machine's link is there. Anything else of that name is
// somebody's, and an error.
func (m *Machine) linked() (bool, error) {
	to, err := os.Readlink(m.Link())
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.EINVAL):
		return false, fault.AlreadyThere.Permanent("%s: is no symbolic link, and not ours (remove it)", m.Link())
	case err != nil:
		return false, m.linkFault(err)
	}
	st, err := m.dir.Stat()
	if err != nil {
		return false, err
	}
	var there unix.Stat_t
	if err := unix.Stat(m.Link(), &there); err != nil || there.Dev != st.Dev || there.Ino != st.Ino {
		return false, fault.AlreadyThere.Permanent("%s: leads to %s, not to %s (remove it)", m.Link(), to, m.Real)
	}
	return true, nil
}

// unlink takes the link away, if it is there.
func (m *Machine) unlink() error {
	there, err := m.linked()
	if err != nil || !there {
		return err
	}
	if err := os.Remove(m.Link()); err != nil && !errors.Is(err, unix.ENOENT) {
		return m.linkFault(err)
	}
	return supervisor.Rescan(m.into)
}

func (m *Machine) linkFault(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fault.SupervisorMissing.Permanent("%s: there is no such directory (--service names the one that svscan looks through)", m.into)
	case errors.Is(err, unix.EROFS):
		return fault.Permanent("%s: is on a filesystem that is mounted read-only (remount it, or name another one by --service)", m.into)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fault.NeedRoot.Permanent("%w (needs root)", err)
	}
	return err
}
