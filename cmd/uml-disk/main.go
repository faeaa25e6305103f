// Command uml-disk makes and looks after guests' discs: see uml-disk(8).
package main

import (
	"errors"
	"os"
	"os/signal"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/disc"
	"uml/fault"
	"uml/progress"
	"uml/screen"
	"uml/settings"
)

func main() { os.Exit(run(os.Args)) }

var (
	quiet    = &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, DisableDefaultText: true, Usage: "show no progress"}
	progFlag = &cli.BoolFlag{Name: "progress", DisableDefaultText: true, Usage: "show progress where standard error is no terminal too, every 10 s"}
	backing  = &cli.StringFlag{Name: "backing", TakesFile: true, Usage: "the backing file is `FILE`, whatever settings or header say"}
)

// noSync is for commands that make a file and leave the old one as it is.
var noSync = &cli.BoolFlag{Name: "no-sync", DisableDefaultText: true, Usage: "do not wait until NEW is on the host's disc, as cp does not"}

func asJSON() cli.Flag {
	return &cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "as JSON"}
}

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      "uml-disk",
		Usage:     "make, resize, copy and look at guests' discs",
		UsageText: "uml-disk create|grow|shrink FILE SIZE\numl-disk info|check|trim FILE\numl-disk create --overlay BASE FILE SIZE\numl-disk initrd FILE\numl-disk clone FILE NEW\numl-disk convert FILE NEW\numl-disk cow create|info|check|merge|rebase|diff FILE...\numl-disk [--machines DIR] list NAME",
		Flags:     []cli.Flag{cmdline.Machines, quiet, progFlag},
		Commands: []*cli.Command{
			{Name: "create", ArgsUsage: "FILE SIZE", Usage: "make a disc", Action: create, Flags: []cli.Flag{
				&cli.StringFlag{Name: "fs", Value: "ext4", Usage: "with a filesystem of this `KIND`, ext4 or none"},
				&cli.StringFlag{Name: "alloc", Value: "sparse", Usage: "`HOW` it takes room: sparse as it is written, full all of it now"},
				&cli.StringFlag{Name: "overlay", TakesFile: true, Usage: "for a guest that shares the disc `BASE`, read-only: with FILE.initrd, which joins them"},
				kernelFlag, modulesFlag,
			}},
			{Name: "initrd", ArgsUsage: "FILE", Usage: "write FILE.initrd of create --overlay alone or anew, as for another kernel", Flags: []cli.Flag{kernelFlag, modulesFlag}, Action: files(1, func(c *cli.Context, f []string) error {
				return disc.Initrd(f[0], booted(c))
			})},
			{Name: "grow", ArgsUsage: "FILE SIZE", Usage: "make a disc and its filesystem larger; the guest must be down", Action: resize(true)},
			{Name: "shrink", ArgsUsage: "FILE SIZE", Usage: "make a disc and its filesystem smaller; the guest must be down", Action: resize(false)},
			{Name: "info", ArgsUsage: "FILE", Usage: "print what is known of a disc", Flags: []cli.Flag{asJSON()}, Action: files(1, func(c *cli.Context, f []string) error {
				return disc.Info(options(c), f[0], c.Bool("json"))
			})},
			{Name: "check", ArgsUsage: "FILE", Usage: "look into a disc's filesystem, changing nothing", Flags: []cli.Flag{backing}, Action: files(1, func(c *cli.Context, f []string) error {
				return disc.Check(c.Context, options(c), f[0], c.String("backing"))
			})},
			{Name: "trim", ArgsUsage: "FILE", Usage: "give back the room of what is zeros", Action: files(1, func(c *cli.Context, f []string) error {
				return disc.Trim(c.Context, options(c), f[0])
			})},
			{Name: "clone", ArgsUsage: "FILE NEW", Usage: "copy a disc, sharing blocks where the filesystem can", Flags: []cli.Flag{noSync}, Action: files(2, func(c *cli.Context, f []string) error {
				return disc.Clone(c.Context, options(c), f[0], f[1])
			})},
			{Name: "convert", ArgsUsage: "FILE NEW", Usage: "write a disc in another format", Action: convert, Flags: []cli.Flag{
				&cli.StringFlag{Name: "to", Value: "raw", Usage: "`FORMAT` of NEW: raw, cow or qcow2"}, backing, noSync,
			}},
			{Name: "list", ArgsUsage: "NAME", Usage: "print a machine's discs", Flags: []cli.Flag{asJSON()}, Action: list},
			{Name: "cow", Usage: "copy-on-write files", Subcommands: cows()},
		},
	}, args)
}

// files calls do with exactly n arguments, and a context that Ctrl-C and TERM end.
func files(n int, do func(c *cli.Context, files []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := cmdline.Names(c)
		if err != nil {
			return err
		}
		if len(args) != n {
			return fault.Usage.Permanent("it takes %s, and was given %d (see --help)", c.Command.ArgsUsage, len(args))
		}
		ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		c.Context = ctx
		err = do(c, args)
		if ctx.Err() != nil && err != nil && !errors.Is(err, disc.ErrHalfMerged) {
			return fault.Stopped.Temporary("ended by a signal")
		}
		return err
	}
}

func options(c *cli.Context) disc.Options {
	o := disc.Options{Out: os.Stdout, Say: cmdline.Say("uml-disk"), Work: progress.None, NoSync: c.Bool("no-sync")}
	switch {
	case c.Bool("quiet"):
	case screen.Is(os.Stderr) && !cmdline.JSON():
		o.Work = progress.Bar(os.Stderr)
	case c.Bool("progress"):
		o.Work = progress.Lines(cmdline.Say("uml-disk"))
	}
	return o
}

func create(c *cli.Context) error {
	return sized(func(c *cli.Context, file string, size settings.Size) error {
		alloc, fs := c.String("alloc"), c.String("fs")
		if alloc != "sparse" && alloc != "full" {
			return fault.Usage.Permanent("%q is no way to take room (try sparse or full)", alloc)
		}
		if fs != "ext4" && fs != "none" {
			return fault.Usage.Permanent("%q is no filesystem that is made (try ext4 or none)", fs)
		}
		m := disc.Make{Size: size, FS: fs, Full: alloc == "full"}
		if base := c.String("overlay"); base != "" {
			return createOverlay(c, base, file, m)
		}
		return disc.Create(c.Context, file, m)
	})(c)
}

func resize(grow bool) cli.ActionFunc {
	return sized(func(c *cli.Context, file string, size settings.Size) error {
		return disc.Resize(c.Context, options(c), file, c.String("machines"), size, grow)
	})
}

func sized(do func(c *cli.Context, file string, size settings.Size) error) cli.ActionFunc {
	return files(2, func(c *cli.Context, args []string) error {
		size, err := settings.ParseSize(args[1])
		if err != nil {
			return fault.Permanent("%w", err)
		}
		return do(c, args[0], size)
	})
}

func convert(c *cli.Context) error {
	return files(2, func(c *cli.Context, f []string) error {
		to := disc.Format(c.String("to"))
		if to != disc.ToRaw && to != disc.ToCOW && to != disc.ToQcow2 {
			return fault.Usage.Permanent("%q is no format (try raw, cow or qcow2)", to)
		}
		return disc.Convert(c.Context, options(c), f[0], f[1], to, c.String("backing"))
	})(c)
}

func list(c *cli.Context) error {
	return files(1, func(c *cli.Context, names []string) error {
		dir, err := cmdline.Locate(c, names[0])
		if err != nil {
			return err
		}
		return disc.List(options(c), dir, c.Bool("json"))
	})(c)
}
