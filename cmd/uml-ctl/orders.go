package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
	"uml/runscript"
	"uml/screen"
	"uml/service"
	"uml/settings"
)

// orders are the commands that tell a machine's supervisor what to do.
func orders() []*cli.Command {
	shutdown := &cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give each guest this `TIME` to shut down"}
	all := &cli.BoolFlag{Name: "all", DisableDefaultText: true, Usage: "all machines in the machines root"}
	say := cmdline.Say("uml-ctl")
	return []*cli.Command{
		{Name: "activate", ArgsUsage: "NAME...", Usage: "link each machine into the service directory, so that it is started and supervised",
			Action: each(func(_ context.Context, m *service.Machine) error { return m.Activate(say) })},
		{Name: "deactivate", ArgsUsage: "NAME...", Usage: "take the link away, stop the guest, end its supervise, take its network away",
			Flags: []cli.Flag{shutdown}, Action: stopping(deactivate)},
		{Name: "up", ArgsUsage: "NAME...", Usage: "start it, and again whenever it ends",
			Action: each(func(_ context.Context, m *service.Machine) error { return m.Up() })},
		{Name: "once", ArgsUsage: "NAME...", Usage: "start it if it is down, but not again when it ends",
			Action: each(func(_ context.Context, m *service.Machine) error { return m.Once() })},
		{Name: "down", ArgsUsage: "NAME...", Usage: "ask the guest to shut down, and do not start it again; do not wait",
			Action: each(func(ctx context.Context, m *service.Machine) error { return m.Down(ctx) })},
		{Name: "stop", ArgsUsage: "NAME...", Usage: "shut the guest down and wait; end it if it does not in time; say what was needed",
			Flags: []cli.Flag{shutdown, all}, Action: stopping(stop)},
		{Name: "restart", ArgsUsage: "NAME...", Usage: "stop, then up",
			Flags: []cli.Flag{shutdown}, Action: stopping(restart)},
	}
}

func stop(ctx context.Context, c *cli.Context, m *service.Machine) (service.Stopped, error) {
	return m.Stop(ctx, c.Duration("timeout"))
}

func restart(ctx context.Context, c *cli.Context, m *service.Machine) (service.Stopped, error) {
	s, err := m.Stop(ctx, c.Duration("timeout"))
	return s, errors.Join(err, m.Up())
}

func deactivate(ctx context.Context, c *cli.Context, m *service.Machine) (service.Stopped, error) {
	return m.Deactivate(ctx, c.Duration("timeout"), runscript.Options{
		HostDir: c.String("host-settings"), Out: os.Stdout, Say: cmdline.Log("uml-ctl", m.Real),
	})
}

// each does the same for every machine named; one that fails stops no other.
func each(do func(context.Context, *service.Machine) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		machines, err := open(c)
		errs := []error{err}
		for _, m := range machines {
			errs = append(errs, cmdline.In(m.Real, do(ctx, m)))
			m.Close()
		}
		return errors.Join(errs...)
	}
}

// stopping does what takes its time for all machines at once.
func stopping(do func(context.Context, *cli.Context, *service.Machine) (service.Stopped, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Duration("timeout") < 0 {
			return fault.Usage.Permanent("--timeout: %v is no time to wait", c.Duration("timeout"))
		}
		ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		machines, err := open(c)
		p := service.Progress{Out: os.Stdout}
		if screen.Is(os.Stderr) && !cmdline.JSON() {
			p.Terminal = os.Stderr
		}
		errs := p.Each(machines, func(m *service.Machine) (service.Stopped, error) {
			defer m.Close()
			s, err := do(ctx, c, m)
			return s, cmdline.In(m.Real, err)
		})
		return errors.Join(append(errs, err)...)
	}
}

// open opens the machines that the arguments name, each once. Those that cannot be
// are the error.
func open(c *cli.Context) (machines []*service.Machine, err error) {
	names, err := cmdline.Names(c)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Bool("all") && len(names) > 0:
		return nil, fault.Usage.Permanent("--all, and a NAME (see --help)")
	case c.Bool("all"):
		if names, err = settings.Machines(c.String("machines")); err != nil {
			return nil, err
		}
	case len(names) == 0:
		return nil, fault.Usage.Permanent("no NAME of a machine (see --help)")
	}
	into, err := filepath.Abs(c.String("service"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var errs []error
	for _, n := range names {
		dir, err := cmdline.Locate(c, n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m, err := service.Open(dir, into)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !seen[m.Real] {
			machines = append(machines, m)
		}
		seen[m.Real] = true
	}
	return machines, errors.Join(errs...)
}
