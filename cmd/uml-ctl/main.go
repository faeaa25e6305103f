// The runtime need not find out how many processors it may use: half of what a
// request takes is the start of this program.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

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
		Usage:     "look at guests, start and stop them, and speak with their kernels",
		UsageText: "uml-ctl [--machines DIR] COMMAND [NAME...] [ARGUMENT...]",
		Flags:     []cli.Flag{cmdline.Machines, cmdline.Service, cmdline.HostSettings, timeout},
		Commands:  slices.Concat(seeing(), orders(), consoles(), devices(), words()),
	}, args)
}

var timeout = &cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "wait this `TIME` for a kernel's answer"}
