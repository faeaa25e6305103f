package main

import (
	"context"
	"os"
	"os/signal"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
	"uml/runscript"
	"uml/settings"
)

// devices are the commands that change what a guest that runs has.
func devices() []*cli.Command {
	keep := &cli.BoolFlag{Name: "keep", DisableDefaultText: true, Usage: "set it for the next start, too"}
	return []*cli.Command{
		{Name: "attach", ArgsUsage: "NAME DEVICE [FILE[,BACKINGFILE] [flags=rst]]", Flags: []cli.Flag{keep},
			Usage: "give a guest a disc, ubd0 to ubd7, or its network, net", Action: attach},
		{Name: "detach", ArgsUsage: "NAME DEVICE", Flags: []cli.Flag{keep}, Usage: "take a disc or the network away", Action: detach},
		{Name: "memory", ArgsUsage: "NAME [SIZE]", Usage: "shrink or grow a guest's memory, and show it", Action: resize},
	}
}

func attach(c *cli.Context) error {
	return device(c, 2, 4, func(ctx context.Context, o runscript.Options, args []string) error {
		return runscript.Attach(ctx, o, args[0], strings.Join(args[1:], " "), c.Bool("keep"))
	})
}

func detach(c *cli.Context) error {
	return device(c, 2, 2, func(ctx context.Context, o runscript.Options, args []string) error {
		return runscript.Detach(ctx, o, args[0], c.Bool("keep"))
	})
}

func resize(c *cli.Context) error {
	return device(c, 1, 2, func(ctx context.Context, o runscript.Options, args []string) error {
		var size settings.Size
		if len(args) > 0 {
			var err error
			if size, err = settings.ParseSize(args[0]); err != nil || size <= 0 {
				return fault.Usage.Permanent("%q is not a size (try 64M or 1G)", args[0])
			}
		}
		return runscript.Memory(ctx, o, size)
	})
}

// device calls do for the machine that the first of least to most arguments names.
func device(c *cli.Context, least, most int, do func(context.Context, runscript.Options, []string) error) error {
	args, err := cmdline.Names(c)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fault.Usage.Permanent("no NAME of a machine (see --help)")
	}
	if len(args) < least || len(args) > most {
		return fault.Usage.Permanent("%s: takes %s (see --help)", c.Command.Name, c.Command.ArgsUsage)
	}
	dir, err := cmdline.Locate(c, args[0])
	if err != nil {
		return err
	}
	cmdline.About(dir)
	if c.Duration("timeout") <= 0 {
		return fault.Usage.Permanent("--timeout: %v is no time to wait", c.Duration("timeout"))
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	return do(ctx, runscript.Options{Dir: dir, HostDir: c.String("host-settings"), Out: os.Stdout, Say: cmdline.Log("uml-ctl", dir)}, args[1:])
}
