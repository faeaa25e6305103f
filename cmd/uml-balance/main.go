// Command uml-balance moves memory between guests that run: see uml-balance(8).
package main

import (
	"os"
	"os/signal"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/balance"
	"uml/cmdline"
	"uml/fault"
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      "uml-balance",
		Usage:     "move memory from guests that do not use it to those that are short of it",
		UsageText: "uml-balance [--machines DIR] [--dry-run]",
		Flags: []cli.Flag{
			cmdline.Machines, cmdline.HostSettings,
			&cli.BoolFlag{Name: "dry-run", DisableDefaultText: true, Usage: "print what would be done to each guest and why; change nothing"},
			&cli.DurationFlag{Name: "timeout", Value: 2 * time.Second, Usage: "wait this `TIME` for a guest's answers"},
			&cli.DurationFlag{Name: "young", Value: 2 * time.Minute, Usage: "leave guests alone that are up for less than this `TIME`"},
		},
		Action: once,
	}, args)
}

func once(c *cli.Context) error {
	if c.Args().Present() {
		return fault.Permanent("%q: no NAME is wanted (see --help)", c.Args().First())
	}
	if c.Duration("timeout") <= 0 {
		return fault.Permanent("--timeout: %v is no time to wait", c.Duration("timeout"))
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	return balance.Run(ctx, balance.Options{
		Machines: c.String("machines"), HostDir: c.String("host-settings"), DryRun: c.Bool("dry-run"),
		Time: c.Duration("timeout"), Young: c.Duration("young"), Out: os.Stdout, Say: cmdline.Say("uml-balance"),
		Log: func(dir string) func(fault.ID, string) { return cmdline.Log("uml-balance", dir) },
	})
}
