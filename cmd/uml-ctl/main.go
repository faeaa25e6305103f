// Command uml-ctl sends commands to running guests: see uml-ctl(8).
package main

import (
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      "uml-ctl",
		Usage:     "run guests, and send commands to their kernels",
		UsageText: "uml-ctl [--machines DIR] COMMAND [NAME...] [ARGUMENT...]",
		Flags:     []cli.Flag{cmdline.Machines, service, timeout},
		Commands:  slices.Concat(consoles(), words()),
	}, args)
}

var (
	service = &cli.StringFlag{
		Name: "service", Value: "/service", EnvVars: []string{"UML_SERVICE"},
		Usage: "activated machines are linked into `DIR`", TakesFile: true,
	}
	timeout = &cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "wait this `TIME` for a kernel's answer"}
)
