package runscript

import (
	"context"
	"path"

	"uml/console"
	"uml/fault"
	"uml/handle"
)

// Console finds the guest that runs in the machine directory dir, for its console
// channel.
func Console(dir, channel string) (*console.Guest, error) {
	d, err := handle.OpenDir(dir)
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	defer d.Close()
	real, err := d.Real()
	if err != nil {
		return nil, err
	}
	before, err := running(d)
	if err != nil {
		return nil, err
	}
	g, err := console.Hold(before.PID, before.User(), path.Base(real))
	if err != nil {
		return nil, err
	}
	after, err := running(d)
	if err == nil && *after != *before {
		err = fault.GuestDown.Temporary("%s: the guest has just been started anew", d.Path)
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	g.Config = func(ctx context.Context) (string, error) { return Ask(ctx, dir, "config "+channel) }
	return g, nil
}
