// Package appliance runs throw-away guests that do one job on a disc: whatever a guest
// may have put on it, the host's kernel never mounts it, and no program of the host reads
// it with any right. Such a guest is a machine like all others, started by uml-run in its
// jail; its first process is uml-appliance-init (package inside).
//
// One takes half a second on Debian's kernel, of which 0.3 s are the kernel's boot.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"uml/fault"
	"uml/job"
	"uml/settings"
)

// Options are the machine that an appliance is.
type Options struct {
	// Dir is the machine directory, of root, with jail/ and the discs in it. Only its
	// settings are made here, and are gone afterwards.
	Dir      string
	User     string            // the account that it runs as
	Kernel   string            // an absolute path
	Mem      settings.Size     // 0: 128M
	Settings map[string]string // more of them, such as discs and addresses
	HostDir  string            // the host's settings, for the network
	Limit    time.Duration     // 0: a minute
	Log      func(line string) // what its kernel says, as it does; may be nil
}

// Run starts an appliance, and returns when it has ended. What it did is on the discs if
// the error is nil. The answer is the guest's word.
func Run(ctx context.Context, o Options, j job.Job) (*job.Answer, error) {
	if o.Mem == 0 {
		o.Mem = 128 << 20
	}
	if o.Limit == 0 {
		o.Limit = time.Minute
	}
	j.Limit = o.Limit
	ctx, cancel := context.WithTimeoutCause(ctx, o.Limit+grace, fault.Temporary("the appliance in %s does not end", o.Dir))
	defer cancel()
	room, err := newRoom()
	if err != nil {
		return nil, err
	}
	defer room.remove()
	if err := room.fill(o, j); err != nil {
		return nil, fmt.Errorf("appliance: %w", err)
	}
	if err := o.prepare(room); err != nil {
		return nil, fmt.Errorf("appliance in %s: %w", o.Dir, err)
	}
	defer os.RemoveAll(filepath.Join(o.Dir, "settings"))
	a, err := o.start(ctx, room.dir)
	if err != nil {
		return nil, err
	}
	return a, a.Err()
}

// grace is for the start, and for an appliance that ends itself when its time is over.
const grace = 20 * time.Second

// arguments: the kernel measures for a second which way to compute a RAID's parity is
// the fastest, and no job needs any (lib/raid6/algos.c, crypto/xor.c).
const arguments = "quiet\nselinux=0\ninitcall_blacklist=raid6_select_algo,calibrate_xor_blocks\nrandom.trust_cpu=1"

// prepare writes the settings of the machine: for this start alone, so none is synced.
func (o Options) prepare(r *room) error {
	if err := os.RemoveAll(filepath.Join(o.Dir, "settings")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(o.Dir, "settings"), 0o755); err != nil {
		return err
	}
	all := map[string]string{
		"user": o.User, "kernel": o.Kernel, "mem": o.Mem.String(), "initrd": r.initrd(), "args": arguments,
		"root": "", "con": "null", "con0": "null,fd:1", "con1": "null", "net": "none",
		"cgroup": "none", // a group would be left when this machine is gone
	}
	for name, value := range o.Settings {
		all[name] = value
	}
	var errs []error
	for name, value := range all {
		errs = append(errs, os.WriteFile(filepath.Join(o.Dir, "settings", name), []byte(value+"\n"), 0o644))
	}
	return errors.Join(errs...)
}
