package desk

import (
	"errors"
	"os/user"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// An account is who asks, with its machine's directory held.
type account struct {
	name    string
	uid     int
	machine string // its name
	real    string // its directory, without links
	dir     *handle.Dir
}

func (a *account) close() { a.dir.Close() }

// home finds the directory that is the user's home, if it is one of a machine. What
// is in it is not looked at.
func (d *Desk) home(uid int) (*account, error) {
	if uid == 0 {
		return nil, fault.Permanent("root has no machine account (uml-ctl does all of it)")
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if unknown := user.UnknownUserIdError(0); errors.As(err, &unknown) {
		return nil, fault.Permanent("user %d has no account here", uid)
	}
	if err != nil {
		return nil, fault.Temporary("look up user %d: %w", uid, err)
	}
	none := fault.Permanent("account %s has no machine: its home is no directory of a machine below %s", u.Username, d.named)
	// By its words first: a home elsewhere may be on a filesystem that answers when it
	// likes, and is not looked at.
	at, name := path.Split(u.HomeDir)
	at = path.Clean(at)
	if at != d.named && at != d.machines || settings.CheckName(name) != nil {
		return nil, none
	}
	dir, err := handle.OpenDir(u.HomeDir)
	if err != nil {
		return nil, none
	}
	a := &account{name: u.Username, uid: uid, dir: dir}
	a.real, err = dir.Real()
	a.machine = path.Base(a.real)
	if err == nil && (path.Dir(a.real) != d.machines || settings.CheckName(a.machine) != nil) { // it was a link, or is deleted
		err = none
	}
	if err == nil {
		err = handle.Rooted(a.real)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// identify finds the user's machine, whose settings have to name this very user.
func (d *Desk) identify(uid int) (*account, error) {
	a, err := d.home(uid)
	if err != nil {
		return nil, err
	}
	m, err := settings.Read(a.dir) // faults of other settings are for who starts it
	if m == nil || m.User.UID == 0 {
		a.close()
		return nil, fault.Temporary("account %s: whose machine %s is cannot be told: %w", a.name, a.machine, err)
	}
	if m.User.UID != uid {
		a.close()
		return nil, fault.Permanent("account %s has no machine: %s is another account's", a.name, a.machine)
	}
	return a, nil
}

// still makes sure that the path leads to the directory that is held: packages that
// take a path take it then. Only root can have moved it.
func (a *account) still() error {
	held, err := a.dir.Stat()
	if err != nil {
		return err
	}
	var now unix.Stat_t
	if err := unix.Lstat(a.real, &now); err != nil || now.Dev != held.Dev || now.Ino != held.Ino {
		return fault.Temporary("%s: was just replaced (try again)", a.machine)
	}
	return nil
}
