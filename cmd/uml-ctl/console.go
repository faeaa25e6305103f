package main

import (
	"context"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/console"
	"uml/fault"
	"uml/mconsole"
	"uml/runscript"
	"uml/screen"
)

// consoles are the commands for a guest's terminals.
func consoles() []*cli.Command {
	return []*cli.Command{{
		Name: "console", Usage: "join this terminal to a guest's console; ~. leaves it", ArgsUsage: "NAME [con1]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "escape", Usage: "leave by `CHAR` and a dot: ~ for a terminal, none for a pipe, if not said"},
			&cli.BoolFlag{Name: "watch", DisableDefaultText: true, Usage: "type nothing"},
			&cli.BoolFlag{Name: "plain", DisableDefaultText: true, Usage: "write out what is not text (so where output is no terminal, unless --plain=false)"},
			&cli.BoolFlag{Name: "wait", DisableDefaultText: true, Usage: "wait for the guest to come up, and again when it ends"},
			&cli.StringFlag{Name: "log", Usage: "add all to `FILE`, as --plain shows it", TakesFile: true},
			&cli.DurationFlag{Name: "linger", Value: time.Second, Usage: "at the end of input, leave when nothing has come for this `TIME`"},
		},
		Action: view,
	}}
}

func view(c *cli.Context) error {
	names, err := cmdline.Names(c)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fault.Usage.Permanent("no NAME of a machine (see --help)")
	}
	if len(names) > 2 {
		return fault.Usage.Permanent("%d names, it takes a machine and a console (see --help)", len(names))
	}
	channel := "con1"
	if len(names) == 2 {
		channel = names[1]
	}
	if !console.IsChannel(channel) {
		return fault.Usage.Permanent("%q is no console (con0 to con15, ssl0 to ssl63)", mconsole.Clean(channel))
	}
	dir, err := cmdline.Locate(c, names[0])
	if err != nil {
		return err
	}
	cmdline.About(dir)
	plain := c.Bool("plain")
	if !c.IsSet("plain") {
		plain = !screen.Is(os.Stdout)
	}
	return console.View(c.Context, console.Options{
		Program: "uml-ctl", Channel: channel, Escape: c.String("escape"), Watch: c.Bool("watch"), Plain: plain, Wait: c.Bool("wait"),
		Log: c.String("log"), Linger: c.Duration("linger"), Time: c.Duration("timeout"),
		Find: func(context.Context) (*console.Guest, error) { return runscript.Console(dir, channel) },
	})
}
