// Command uml-metrics says for Prometheus how guests stand: see uml-metrics(8).
package main

import (
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/fault"
	"uml/metrics"
)

func init() { runtime.LockOSThread() } // rights are a thread's

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      "uml-metrics",
		Usage:     "say for Prometheus how guests stand and what they take",
		UsageText: "uml-metrics [--output FILE]\numl-metrics --listen HOST:PORT\n\nWithout either it prints.",
		Flags: []cli.Flag{
			cmdline.Machines, cmdline.Service,
			&cli.StringFlag{Name: "output", Usage: "write `FILE`, for node_exporter's textfile collector", TakesFile: true},
			&cli.StringFlag{Name: "listen", Usage: "serve /metrics at `HOST:PORT` until ended"},
			&cli.BoolFlag{Name: "open", DisableDefaultText: true, Usage: "where namespaces cannot be made, as in a container, serve without"},
		},
		Action: func(c *cli.Context) error {
			file, at := c.String("output"), c.String("listen")
			switch {
			case c.NArg() > 0:
				return fault.Permanent("%q: it takes no arguments (see --help)", c.Args().First())
			case c.IsSet("output") && c.IsSet("listen"):
				return fault.Permanent("--output and --listen: one of them")
			case c.IsSet("output") && file == "" || c.IsSet("listen") && at == "":
				return fault.Permanent("--output and --listen take a value (see --help)")
			case at == "":
				return metrics.Once(c.String("machines"), c.String("service"), file, os.Stdout)
			}
			return metrics.Serve(metrics.Options{
				Machines: c.String("machines"), Service: c.String("service"), Listen: at, Open: c.Bool("open"),
				Name: "uml-metrics", Say: cmdline.Say("uml-metrics"), Args: args,
			})
		},
	}, args)
}
