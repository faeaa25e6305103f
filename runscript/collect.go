package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/netsetup"
	"uml/settings"
)

// NetCollect takes away what of ours on the host's network no machine owns any more,
// and gives running guests back what they have lost. It prints each command that
// it did, or with DryRun would do: nothing if nothing was amiss, for cron. Marks
// on the host say what is ours, so no list of machines is asked: Dir is of no matter.
func NetCollect(ctx context.Context, o Options) error {
	return o.collect(ctx, (*netsetup.Survey).Garbage)
}

// NetRestore makes all stand again that keeps guests from forging addresses, for all
// machines, after somebody has loaded the host's firewall anew. It prints what
// NetCollect prints.
func NetRestore(ctx context.Context, o Options) error {
	return o.collect(ctx, (*netsetup.Survey).Rules)
}

func (o Options) collect(ctx context.Context, decide func(*netsetup.Survey) error) error {
	signals := catch(ctx)
	defer signals.stop()
	if os.Geteuid() != 0 {
		return fault.NeedRoot.Permanent("needs root")
	}
	host, err := settings.ReadHost(o.HostDir)
	if err != nil {
		return err
	}
	locks, err := lock.TakeCensus()
	if err != nil {
		return err
	}
	g, err := netsetup.TakeSurvey(host, owners(locks))
	if err != nil {
		return err
	}
	defer g.Close()
	if err := decide(g); err != nil {
		return err
	}
	for _, n := range g.Notes {
		err = errors.Join(err, fault.Temporary("%s", n))
	}
	lines := g.Texts()
	if !o.DryRun {
		did, news, failed := g.Collect(signals.ctx)
		lines, err = did, errors.Join(err, failed)
		o.announce(news).Leave()
	}
	for _, l := range lines {
		fmt.Fprintln(o.Out, l)
	}
	return err
}

// owners finds whom a TAP serves. Whatever cannot be told is taken for a machine
// that is there: nothing of it is taken away.
func owners(locks lock.Census) func(alias string) netsetup.Owner {
	return func(alias string) (o netsetup.Owner) {
		name := netsetup.MachineOf(alias)
		if name == "" {
			return o
		}
		dir, err := handle.OpenDir(name)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			o.Gone = true
			return o
		}
		if err != nil {
			return o
		}
		defer dir.Close()
		m, err := settings.Read(dir)
		if err != nil {
			return o
		}
		if m.Real != name { // its machines were moved: it has another TAP, or will
			o.Gone = true
			return o
		}
		o.Machine = m
		by, _, err := lock.See(dir, m.User.UID, locks)
		o.Locked = by != nil || err != nil
		return o
	}
}
