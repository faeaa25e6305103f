// Command uml-machine makes, copies, renames, moves and removes guests' machines: see uml-machine(8).
package main

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/estate"
	"uml/fault"
	"uml/progress"
	"uml/screen"
)

func main() { os.Exit(run(os.Args)) }

var (
	quiet   = &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, DisableDefaultText: true, Usage: "do not say what is being done"}
	asJSON  = &cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "report as JSON"}
	dryRun  = &cli.BoolFlag{Name: "dry-run", DisableDefaultText: true, Usage: "say what would be done, and change nothing"}
	stores  = &cli.StringFlag{Name: "templates", Value: "/var/lib/uml/templates", EnvVars: []string{"UML_TEMPLATES"}, TakesFile: true, Usage: "templates are in `DIR`"}
	kernels = &cli.StringFlag{Name: "kernels", Value: "/var/lib/uml/kernels", EnvVars: []string{"UML_KERNELS"}, TakesFile: true, Usage: "kernels are in `DIR`"}
)

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      "uml-machine",
		Usage:     "make, copy, rename, move and remove machines",
		UsageText: "uml-machine new NAME --template T [--cow] [--ip4 ADDRESS]... [--key FILE]...\numl-machine copy NAME NEW [--ip4 ADDRESS]...\numl-machine rename NAME NEW\numl-machine remove NAME [--keep-discs] [--yes]\numl-machine move NAME HOST [--abort]\numl-machine move --evacuate HOST [--plan]\numl-machine gc [--older TIME]",
		Flags:     []cli.Flag{cmdline.Machines, cmdline.Service, cmdline.HostSettings, stores, kernels, quiet},
		Commands: []*cli.Command{
			{Name: "new", ArgsUsage: "NAME", Usage: "make a machine of a template", Action: create, Flags: newFlags()},
			{Name: "copy", ArgsUsage: "NAME NEW", Usage: "make another machine of one that is down", Action: duplicate, Flags: copyFlags()},
			{Name: "rename", ArgsUsage: "NAME NEW", Usage: "give a machine that is down, its account and its guest another name", Action: named(2, func(c *cli.Context, n []string) error {
				return estate.Rename(c.Context, options(c), n[0], n[1])
			}), Flags: []cli.Flag{dryRun}},
			{Name: "remove", ArgsUsage: "NAME", Usage: "remove a machine that is down, its account and its network", Action: remove, Flags: []cli.Flag{
				&cli.BoolFlag{Name: "keep-discs", DisableDefaultText: true, Usage: "keep its discs and settings, in the machines root's .kept"},
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, DisableDefaultText: true, Usage: "do not ask"}, dryRun,
			}},
			{Name: "move", ArgsUsage: "NAME HOST", Usage: "take a machine to another host, by ssh", Action: moves, Flags: moveFlags()},
			{Name: "serve", Usage: "take machines from another host: what ssh runs there", Action: serve},
			{Name: "gc", Usage: "remove what interrupted ones have left; says nothing if nothing is", Action: named(0, func(c *cli.Context, _ []string) error {
				old, err := older(c)
				if err != nil {
					return err
				}
				return estate.Collect(c.Context, options(c), old)
			}), Flags: []cli.Flag{dryRun, &cli.StringFlag{Name: "older", Usage: "and what was moved to other hosts, or has not come all the way from one, for this `TIME` (such as 7d)"}}},
		},
	}, args)
}

// named calls do with exactly n names, and a context that Ctrl-C and TERM end.
func named(n int, do func(c *cli.Context, names []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := cmdline.Names(c)
		if err != nil {
			return err
		}
		if len(args) != n {
			return fault.Usage.Permanent("it takes %d names, and was given %d (see --help)", n, len(args))
		}
		if n > 0 {
			cmdline.About(filepath.Join(c.String("machines"), args[0]))
		}
		ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		c.Context = ctx
		err = do(c, args)
		if ctx.Err() != nil && err != nil && fault.Code(err) == fault.MayPass && !errors.Is(err, estate.ErrLeft) {
			return fault.Stopped.Temporary("ended by a signal; nothing was changed")
		}
		return err
	}
}

func options(c *cli.Context) estate.Options {
	say := cmdline.Say("uml-machine")
	o := estate.Options{
		Machines: c.String("machines"), Service: c.String("service"), HostDir: c.String("host-settings"),
		Templates: c.String("templates"), Kernels: c.String("kernels"),
		Out: os.Stdout, Say: say, Work: progress.None, DryRun: c.Bool("dry-run"),
	}
	if !c.Bool("quiet") {
		o.Step = say
		if screen.Is(os.Stderr) && !cmdline.JSON() {
			o.Work = progress.Bar(os.Stderr)
		} else {
			o.Work = progress.Lines(say)
		}
	}
	return o
}

func remove(c *cli.Context) error {
	return named(1, func(c *cli.Context, n []string) error {
		return estate.Remove(c.Context, options(c), n[0], estate.Removal{
			KeepDiscs: c.Bool("keep-discs"),
			Sure:      func(what string) (bool, error) { return sure(c, what) },
		})
	})(c)
}

// sure asks on a terminal.
func sure(c *cli.Context, what string) (bool, error) {
	if c.Bool("yes") {
		return true, nil
	}
	if !screen.Is(os.Stdin) || !screen.Is(os.Stderr) {
		return false, fault.Usage.Permanent("%s: nobody can be asked here (say --yes)", what)
	}
	return ask(what)
}
