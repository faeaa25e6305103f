// Package fit makes the root filesystem of a guest that was copied from a template, or from
// another guest, one of its own (paper 2.4). It runs inside a throw-away guest, in that
// filesystem's root, and is the same on any directory.
//
// The filesystem is its owner's, and anything may be in it. Nothing outside the root is reached,
// files are opened only if they are regular ones, and what is written is written beside and
// renamed: so a link is replaced, not followed, and every file is the old one or the new.
// Nothing else may change the tree meanwhile.
//
// Said again it does nothing more. What the guest has no place for is left out and noted; what is
// there and cannot be understood is an error.
package fit

import (
	"errors"
	"fmt"
	"os"

	"uml/fault"
	"uml/job"
)

// Do makes the tree below root what f says.
func Do(root *os.Root, f *job.Fit) (*job.Fitted, error) {
	d := &fitting{tree: tree{root}, f: f, did: &job.Fitted{}}
	d.did.Init = d.init()
	var faults []error
	for _, s := range []struct {
		what string
		do   func() error
	}{
		{"names", d.names},
		{"fstab", d.fstab},
		{"network", d.network},
		{"resolv.conf", d.resolve},
		{"terminals", d.terminals},
		{"host keys", d.hostKeys},
		{"machine-id", d.machineID},
		{"root's password", d.password},
		{"root's keys", d.authorize},
		{"cloud-init", d.cloud},
		{"traces", d.forget},
	} {
		if err := s.do(); err != nil {
			faults = append(faults, fault.Permanent("%s: %w", s.what, err))
		}
	}
	return d.did, errors.Join(faults...)
}

type fitting struct {
	tree
	f   *job.Fit
	did *job.Fitted
}

func (d *fitting) note(format string, args ...any) {
	d.did.Notes = append(d.did.Notes, fmt.Sprintf(format, args...))
}

// init says which program the guest's first process is, by what /sbin/init leads to.
func (d *fitting) init() string {
	to := d.leads("sbin/init")
	switch {
	case to == "systemd" || d.has("lib/systemd/systemd") || d.has("usr/lib/systemd/systemd"):
		return "systemd"
	case d.has("sbin/openrc") || d.has("usr/sbin/openrc") || d.has("usr/bin/openrc"):
		return "openrc"
	case to == "busybox" || d.busybox():
		return "busybox"
	case d.has("etc/inittab"):
		return "sysvinit"
	}
	return ""
}

// busybox: a copy of it in place of a link is as large as its other one.
func (d *fitting) busybox() bool {
	a, err := d.root.Stat("sbin/init")
	if err != nil {
		return false
	}
	for _, name := range []string{"bin/busybox", "usr/bin/busybox", "sbin/busybox"} {
		if b, err := d.root.Stat(name); err == nil && (os.SameFile(a, b) || a.Size() == b.Size()) {
			return true
		}
	}
	return false
}
