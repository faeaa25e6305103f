// Command uml-jail runs a command in a guest kernel's jail: see uml-jail(8).
package main

import (
	"context"
	"os"
	"runtime"
	"slices"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/fault"
	"uml/runscript"
)

func init() { runtime.LockOSThread() }

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	var command []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, command = args[:i], args[i+1:]
	}
	app := &cli.App{
		Name:      "uml-jail",
		Usage:     "run a command in the jail, limits and privileges of a guest kernel",
		UsageText: "uml-jail [NAME] -- COMMAND [ARG...]\n\nWithout NAME: the machine directory is the working directory.",
		Flags:     []cli.Flag{cmdline.Machines, cmdline.HostSettings},
		Action: func(c *cli.Context) error {
			dir, err := cmdline.Machine(c)
			if err != nil {
				return err
			}
			if len(command) == 0 {
				return fault.Usage.Permanent("no command (try: uml-jail NAME -- /bin/busybox sh)")
			}
			return runscript.Command(context.Background(), runscript.Options{
				Dir: dir, HostDir: c.String("host-settings"), Out: os.Stdout, Say: cmdline.Log("uml-jail", dir),
			}, command)
		},
	}
	return cmdline.Run(app, args)
}
