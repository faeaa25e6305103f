package runscript

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/mconsole"
)

// Ask sends a command to the kernel of the guest that runs in the machine
// directory dir, and returns its answer. Settings are not read: they may have
// changed since it was started, or be wrong by now.
func Ask(ctx context.Context, dir, command string) (string, error) {
	d, err := handle.OpenDir(dir)
	if err != nil {
		return "", fault.Permanent("%w", err)
	}
	defer d.Close()
	c, _, err := dial(d)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.Ask(ctx, command)
}

// dial finds the kernel of the guest that runs in the machine directory d.
func dial(d *handle.Dir) (*mconsole.Client, int, error) {
	real, err := d.Real()
	if err != nil {
		return nil, 0, err
	}
	before, err := running(d)
	if err != nil {
		return nil, 0, err
	}
	c, err := mconsole.Dial(before.PID, before.User(), path.Base(real))
	if err != nil {
		return nil, 0, err
	}
	after, err := running(d)
	if err == nil && *after != *before {
		err = fault.GuestDown.Temporary("%s: the guest has just been started anew", d.Path)
	}
	if err != nil {
		c.Close()
		return nil, 0, err
	}
	return c, before.PID, nil
}

// ErrDown is in the error of what only a guest that is up can do.
var ErrDown = errors.New("the guest is down")

// running is the guest's kernel. A start that is not yet in the jail has the
// host's root, and is not spoken to.
func running(d *handle.Dir) (*lock.Holder, error) {
	h, err := lock.Taker(d)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fault.NeedRoot.Temporary("%w (root can look, and the guest's own user once it is up)", err)
	}
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, fault.GuestDown.Temporary("%s: %w: nobody holds %s (if it runs all the same, uml-check tells why)", d.Path, ErrDown, d.Join(lock.Name))
	}
	if h.User() == 0 || !isKernel(h.PID) {
		return nil, fault.GuestDown.Temporary("%s: the guest is not up: process %d, a start or uml-jail, holds %s", d.Path, h.PID, d.Join(lock.Name))
	}
	return h, nil
}

// Kernel is the process of the guest's kernel in the machine directory; nil if the
// lock is free, or held by a start or another command of ours: by is that process.
func Kernel(d *handle.Dir) (kernel *lock.Holder, by int, err error) {
	h, err := lock.Taker(d)
	if h == nil || err != nil {
		return nil, 0, err
	}
	if h.User() == 0 || !isKernel(h.PID) {
		return nil, h.PID, nil
	}
	return h, h.PID, nil
}
