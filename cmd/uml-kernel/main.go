// Command uml-kernel keeps the kernels that guests run: see uml-kernel(8).
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
	"uml/kernels"
	"uml/trial"
)

func main() { os.Exit(run(os.Args)) }

var storeFlag = &cli.StringFlag{
	Name: "kernels", Value: kernels.DefaultDir, EnvVars: []string{"UML_KERNELS"},
	Usage: "the store of kernels is `DIR`", TakesFile: true,
}

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      "uml-kernel",
		Usage:     "keep the kernels that guests run",
		UsageText: "uml-kernel add FILE|PACKAGE NAME\numl-kernel list\numl-kernel default NAME\numl-kernel try NAME MACHINE\numl-kernel roll NAME [MACHINE...]\numl-kernel remove NAME",
		Flags:     []cli.Flag{storeFlag, cmdline.Machines},
		Commands: []*cli.Command{
			{Name: "add", ArgsUsage: "FILE|PACKAGE NAME", Usage: "take a kernel into the store: an image, a Debian package's file, or one by its name", Action: add, Flags: []cli.Flag{
				&cli.StringFlag{Name: "modules", TakesFile: true, Usage: "its modules are in `DIR`, which has a directory for each release"},
			}},
			{Name: "list", Usage: "print the kernels, and which machines have them", Action: list, Flags: []cli.Flag{
				&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "as JSON"},
			}},
			{Name: "default", ArgsUsage: "NAME", Usage: "make a kernel that of new machines", Action: words(1, 1, true, func(_ *cli.Context, s *kernels.Store, w []string) error {
				return s.SetDefault(w[0])
			})},
			{Name: "try", ArgsUsage: "NAME MACHINE", Usage: "boot a throw-away copy of a machine's discs with it, and say whether the guest comes up", Action: try, Flags: []cli.Flag{
				&cli.DurationFlag{Name: "timeout", Value: 2 * time.Minute, Usage: "it must within `TIME`"},
			}},
			{Name: "roll", ArgsUsage: "NAME [MACHINE...]", Usage: "have machines run it from their next start on: those named, or all with a kernel of the store", Action: roll, Flags: []cli.Flag{
				&cli.BoolFlag{Name: "dry-run", DisableDefaultText: true, Usage: "say what would be changed"},
			}},
			{Name: "remove", ArgsUsage: "NAME", Usage: "take a kernel out that no machine has and no guest runs", Action: words(1, 1, true, func(c *cli.Context, s *kernels.Store, w []string) error {
				return s.Remove(w[0], c.String("machines"))
			})},
		},
	}, args)
}

// words calls do with the store and at least low arguments, at most high unless that is
// below low, and a context that Ctrl-C and TERM end.
func words(low, high int, change bool, do func(c *cli.Context, s *kernels.Store, words []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := cmdline.Names(c)
		if err != nil {
			return err
		}
		if len(args) < low || high >= low && len(args) > high {
			return fault.Usage.Permanent("it takes %s, and was given %d (see --help)", c.Command.ArgsUsage, len(args))
		}
		open := kernels.Open
		if change {
			open = kernels.OpenToChange
		}
		s, err := open(c.String("kernels"))
		if err != nil {
			return err
		}
		defer s.Close()
		ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		c.Context = ctx
		err = do(c, s, args)
		if err != nil && ctx.Err() != nil {
			return fault.Stopped.Temporary("ended by a signal")
		}
		return err
	}
}

func add(c *cli.Context) error {
	return words(2, 2, true, func(c *cli.Context, s *kernels.Store, w []string) error {
		m, err := s.Add(c.Context, w[0], c.String("modules"), w[1], cmdline.Say("uml-kernel"))
		if err == nil {
			fmt.Printf("%s: %s, %s, %d modules, from %s\n", m.Name, m.Release, m.Link(), m.Modules, fault.Line(m.Source))
		}
		return err
	})(c)
}

func try(c *cli.Context) error {
	return words(2, 2, false, func(c *cli.Context, s *kernels.Store, w []string) error {
		image, err := s.Image(w[0])
		if err != nil {
			return err
		}
		dir, err := cmdline.Locate(c, w[1])
		if err != nil {
			return err
		}
		say := func(line string) { fmt.Println(fault.Line(line)) }
		err = trial.Run(c.Context, trial.Options{
			Machine: dir, Kernel: image, Timeout: c.Duration("timeout"), Say: say,
			Log: func(line string) { say("| " + line) },
		})
		if err == nil {
			say(fmt.Sprintf("%s comes up with %s", w[1], w[0]))
		}
		return err
	})(c)
}

func list(c *cli.Context) error {
	return words(0, 0, false, func(c *cli.Context, s *kernels.Store, _ []string) error {
		all, err := s.List(c.String("machines"))
		show := kernels.Print
		if c.Bool("json") {
			show = kernels.PrintJSON
		}
		return errors.Join(show(os.Stdout, all), err)
	})(c)
}

func roll(c *cli.Context) error {
	return words(1, -1, !c.Bool("dry-run"), func(c *cli.Context, s *kernels.Store, w []string) error {
		var machines []string
		if len(w) > 1 {
			machines = w[1:]
		}
		return s.Roll(w[0], c.String("machines"), machines, c.Bool("dry-run"), func(line string) { fmt.Println(fault.Line(line)) })
	})(c)
}
