// The runtime need not find out how many processors it may use: see init.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command uml-run starts a guest: see uml-run(8).
package main

import (
	"context"
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/runscript"
)

// Namespaces, ids and tracing belong to a thread; the one that execs is this. A
// start does one thing after another, or waits: a second processor would have
// nothing to do but to wake threads that look for work.
func init() {
	runtime.LockOSThread()
	runtime.GOMAXPROCS(1)
}

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	var start bool
	var o runscript.Options
	var failed error
	app := &cli.App{
		Name:      "uml-run",
		Usage:     "make sure that a guest may start, and become its kernel",
		UsageText: "uml-run [--dry-run] [NAME]\n\nWithout NAME: the machine directory is the working directory, as supervise(8) has it.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", DisableDefaultText: true, Usage: "print what would be checked, changed and run; change nothing"},
			cmdline.Machines,
			cmdline.HostSettings,
		},
		Action: func(c *cli.Context) error {
			dir, err := cmdline.Machine(c)
			if err != nil {
				return err
			}
			start = !c.Bool("dry-run")
			o = runscript.Options{
				Dir: dir, HostDir: c.String("host-settings"), DryRun: !start,
				Out: os.Stdout, Say: cmdline.Log("uml-run", dir),
			}
			failed = runscript.Start(context.Background(), o)
			return failed
		},
	}
	code := cmdline.RunService(app, args)
	if start {
		runscript.Delay(o, failed)
	}
	return code
}
