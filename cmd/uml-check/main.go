// Command uml-check makes every check of a start, and changes nothing: see
// uml-check(8).
package main

import (
	"os"
	"os/signal"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/check"
	"uml/cmdline"
	"uml/fault"
	"uml/screen"
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	verdict := fault.OK
	app := &cli.App{
		Name:  "uml-check",
		Usage: "make every check of a start, and say how to mend what is amiss; change nothing",
		UsageText: "uml-check [--json] [NAME...]\n\nWithout NAME: all machines, compared with each other, and the host.\n" +
			"Exit code: 0 without a FAIL, 100 if one lasts until somebody acts, else 111.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print an array of objects: machine, check, status, text"},
			cmdline.Machines,
			cmdline.HostSettings,
		},
		Action: func(c *cli.Context) error {
			names, err := cmdline.Names(c)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
			defer stop()
			r := check.Run(ctx, check.Options{Machines: c.String("machines"), HostDir: c.String("host-settings"), Names: names})
			verdict = r.Code()
			if c.Bool("json") {
				return r.JSON(os.Stdout)
			}
			return r.Print(os.Stdout, coloured())
		},
	}
	if code := cmdline.Run(app, args); code != fault.OK {
		return code
	}
	return verdict
}

// coloured: for a person at a terminal who did not say otherwise (no-color.org).
func coloured() bool {
	return screen.Is(os.Stdout) && os.Getenv("NO_COLOR") == ""
}
