// Command uml-net gives machines their network on the host: see uml-net(8).
package main

import (
	"context"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/fault"
	"uml/radvd"
	"uml/runscript"
	"uml/settings"
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	dry := dryRun("print the commands that would do the same; change nothing")
	return cmdline.Run(&cli.App{
		Name:      "uml-net",
		Usage:     "give machines their TAPs, routes and published addresses, or take them away",
		UsageText: "uml-net [--machines DIR] up|down [--dry-run] NAME...\numl-net [--machines DIR] show [NAME...]\numl-net gc|restore [--dry-run]\numl-net [--machines DIR] radvd [--dry-run]",
		Flags:     []cli.Flag{cmdline.Machines, cmdline.HostSettings},
		Commands: []*cli.Command{
			{Name: "up", ArgsUsage: "NAME...", Usage: "give each machine what its settings name, take away what they do not", Flags: []cli.Flag{dry}, Action: each(runscript.NetUp)},
			{Name: "down", ArgsUsage: "NAME...", Usage: "take away all of it; the guest must be down", Flags: []cli.Flag{dry}, Action: each(runscript.NetDown)},
			{Name: "gc", Usage: "take away what no machine owns any more, give running guests back what they lost; say what was done", Flags: []cli.Flag{dry}, Action: host(runscript.NetCollect)},
			{Name: "show", ArgsUsage: "[NAME...]", Usage: "print what each machine has, and what is missing or too much; of all machines only the former", Action: show},
			{Name: "radvd", Usage: "write radvd's configuration from the settings of all machines, and have radvd read it, if it differs", Flags: []cli.Flag{dryRun("print what would be written, if it differs; change nothing")}, Action: advertise},
			{Name: "restore", Usage: "make the firewall's rules that keep guests from forging addresses, if they do not stand", Flags: []cli.Flag{dry}, Action: host(runscript.NetRestore)},
		},
	}, args)
}

func show(c *cli.Context) error {
	if c.Args().Present() {
		return each(runscript.NetShow)(c)
	}
	return host(runscript.NetShowAll)(c)
}

func dryRun(usage string) cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", DisableDefaultText: true, Usage: usage}
}

func advertise(c *cli.Context) error {
	if c.Args().Present() {
		return fault.Usage.Permanent("%q: no NAME is wanted (see --help)", c.Args().First())
	}
	return radvd.Write(c.Context, radvd.Options{
		Machines: c.String("machines"), HostDir: c.String("host-settings"), DryRun: c.Bool("dry-run"),
		Out: os.Stdout, Say: cmdline.Say("uml-net"),
	})
}

// host does something for the whole host.
func host(do func(context.Context, runscript.Options) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return fault.Usage.Permanent("%q: no NAME is wanted (see --help)", c.Args().First())
		}
		return do(c.Context, options(c, ""))
	}
}

func options(c *cli.Context, dir string) runscript.Options {
	return runscript.Options{
		Dir: dir, HostDir: c.String("host-settings"), DryRun: c.Bool("dry-run"),
		Out: os.Stdout, Say: cmdline.Log("uml-net", dir),
	}
}

// each does the same for every machine named; one that fails stops no other.
func each(do func(context.Context, runscript.Options) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		names, err := cmdline.Names(c)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fault.Usage.Permanent("no NAME of a machine (see --help)")
		}
		var errs []error
		for _, n := range names {
			dir, err := settings.Locate(c.String("machines"), n)
			if err == nil {
				err = do(c.Context, options(c, dir))
			}
			errs = append(errs, cmdline.In(dir, err))
		}
		return errors.Join(errs...)
	}
}
