// The runtime need not find out again and again how many processors it may use.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command uml-shelld does for machine accounts what needs root: see uml-shelld(8).
package main

import (
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/desk"
	"uml/fault"
	"uml/request"
)

func init() { runtime.LockOSThread() }

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	return cmdline.RunService(&cli.App{
		Name:      "uml-shelld",
		Usage:     "do for machine accounts what needs root",
		UsageText: "uml-shelld [--machines DIR] [--service DIR] [--socket FILE]\n\numl-shell asks it. It runs until it is ended, by supervise or by systemd.",
		Flags: []cli.Flag{
			cmdline.Machines, cmdline.Service, cmdline.HostSettings,
			&cli.StringFlag{Name: "socket", Value: request.Socket, Usage: "listen at `FILE`", TakesFile: true},
			&cli.StringFlag{Name: "group", Usage: "only accounts of `GROUP` may ask"},
			&cli.BoolFlag{Name: "open", DisableDefaultText: true, Usage: "where namespaces cannot be made, as in a container, go on without"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return fault.Usage.Permanent("%q: it takes no arguments (see --help)", c.Args().First())
			}
			return desk.Run(desk.Options{
				Machines: c.String("machines"), Service: c.String("service"), HostDir: c.String("host-settings"),
				Socket: c.String("socket"), Group: c.String("group"), Open: c.Bool("open"),
				Name: "uml-shelld", Say: cmdline.Say("uml-shelld"), Args: args,
			})
		},
	}, args)
}
