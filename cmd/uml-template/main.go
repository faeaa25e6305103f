// Command uml-template makes and keeps templates of guests' discs: see uml-template(8).
package main

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/builder"
	"uml/cmdline"
	"uml/fault"
	"uml/kernels"
	"uml/progress"
	"uml/screen"
	"uml/settings"
	"uml/template"
)

func main() { os.Exit(run(os.Args)) }

const prog = "uml-template"

var (
	templates = &cli.StringFlag{Name: "templates", Value: template.Default, EnvVars: []string{"UML_TEMPLATES"}, TakesFile: true, Usage: "templates are in `DIR`"}
	kernelsAt = &cli.StringFlag{Name: "kernels", Value: "/var/lib/uml/kernels", EnvVars: []string{"UML_KERNELS"}, TakesFile: true, Usage: "kernels are in `DIR`"}
	kernel    = &cli.StringFlag{Name: "kernel", TakesFile: true, Usage: "the guests that do the work run this kernel `IMAGE`, not the default of the kernels' directory, or /usr/bin/linux.uml"}
	quiet     = &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, DisableDefaultText: true, Usage: "say and show nothing of what is being done"}
	verbose   = &cli.BoolFlag{Name: "verbose", DisableDefaultText: true, Usage: "print what the guests say that do the work"}
	asJSON    = &cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "as JSON"}
)

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      prog,
		Usage:     "make and keep templates, which guests' discs are copies of or stand on",
		UsageText: "uml-template build NAME debian:SUITE|DIRECTORY|ARCHIVE|IMAGE\numl-template update NAME --ip4 ADDRESS\numl-template list | show NAME | verify [NAME...] | remove NAME... | gc",
		Flags:     []cli.Flag{templates, cmdline.Machines, kernelsAt, kernel, quiet, verbose},
		Commands: []*cli.Command{
			{Name: "build", ArgsUsage: "NAME SOURCE", Usage: "make a template of Debian's packages, a directory, a tar archive, an OCI image, or an image of a filesystem", Action: names(2, build), Flags: []cli.Flag{
				&cli.StringFlag{Name: "size", Value: "2G", Usage: "`SIZE` of its filesystem, of which a machine may have a larger copy"},
				&cli.StringSliceFlag{Name: "include", Usage: "`PACKAGES` beside the usual ones, separated by commas (debian:SUITE)"},
				&cli.StringFlag{Name: "mirror", Usage: "take them from `URL`, not from the host's mirrors (debian:SUITE)"},
			}},
			{Name: "update", ArgsUsage: "NAME", Usage: "make a newer one of a template, with its packages brought up to date in a guest", Action: names(1, update), Flags: []cli.Flag{
				&cli.StringSliceFlag{Name: "ip4", Usage: "the guest's `ADDRESS` meanwhile, one that nobody has"},
				&cli.StringSliceFlag{Name: "dns", Usage: "who resolves names for it has this `ADDRESS`; those of the host's resolv.conf else"},
				cmdline.HostSettings,
			}},
			{Name: "list", Usage: "print all templates", Flags: []cli.Flag{asJSON}, Action: names(0, list)},
			{Name: "show", ArgsUsage: "NAME", Usage: "print what is known of one", Flags: []cli.Flag{asJSON, &cli.BoolFlag{Name: "packages", DisableDefaultText: true, Usage: "its packages, and their versions"}}, Action: names(1, show)},
			{Name: "verify", ArgsUsage: "[NAME...]", Usage: "read images, all of them without NAME: whether each is the one that was made", Action: names(-1, verify)},
			{Name: "remove", ArgsUsage: "NAME...", Usage: "remove a template that no machine's disc is or stands on", Action: names(-1, remove), Flags: []cli.Flag{
				&cli.BoolFlag{Name: "old", DisableDefaultText: true, Usage: "of NAME all but the newest, as far as nothing stands on them"},
			}},
			{Name: "gc", Usage: "remove what was left of builds that were killed", Action: names(0, gc)},
		},
	}, args)
}

// names calls do with exactly n arguments, any number if that is negative, and a context
// that Ctrl-C and TERM end.
func names(n int, do func(c *cli.Context, args []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := cmdline.Names(c)
		if err != nil {
			return err
		}
		if n >= 0 && len(args) != n {
			wants := c.Command.ArgsUsage
			if wants == "" {
				wants = "no argument"
			}
			return fault.Usage.Permanent("it takes %s, and was given %d (see --help)", wants, len(args))
		}
		ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		c.Context = ctx
		err = do(c, args)
		if ctx.Err() != nil && err != nil {
			return fault.Stopped.Temporary("ended by a signal")
		}
		return err
	}
}

func root() error {
	if os.Geteuid() != 0 {
		return fault.NeedRoot.Permanent("only root can do that")
	}
	return nil
}

func options(c *cli.Context) (o builder.Options, err error) {
	o = builder.Options{Templates: c.String("templates"), HostDir: c.String("host-settings"), Say: cmdline.Say(prog), Work: work(c)}
	if c.Bool("quiet") {
		o.Say = func(string) {}
	}
	if c.Bool("verbose") {
		o.Verbose = cmdline.Say(prog)
	}
	o.Kernel, err = kernelImage(c)
	return o, errors.Join(root(), err)
}

// kernelImage is as for all programs: that which is given, the store's default, Debian's.
func kernelImage(c *cli.Context) (string, error) {
	if k := c.String("kernel"); k != "" {
		return filepath.Abs(k)
	}
	return kernels.DefaultImage(c.String("kernels"))
}

func work(c *cli.Context) func(string, int64) (func(int64), func()) {
	if c.Bool("quiet") || !screen.Is(os.Stderr) || cmdline.JSON() {
		return progress.None
	}
	return progress.Bar(os.Stderr)
}

func build(c *cli.Context, args []string) error {
	o, err := options(c)
	if err != nil {
		return err
	}
	size, err := settings.ParseSize(c.String("size"))
	if err != nil {
		return fault.Usage.Permanent("--size: %w", err)
	}
	t, err := builder.Make(c.Context, o, builder.Build{
		Name: args[0], Source: args[1], Size: size, Sized: c.IsSet("size"),
		Include: words(c.StringSlice("include")), Mirror: c.String("mirror"), Etc: "/etc/apt",
	})
	if err != nil {
		return err
	}
	return printMade(t)
}

// words are those of several flags, and of one with commas.
func words(given []string) (all []string) {
	for _, g := range given {
		all = append(all, strings.FieldsFunc(g, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return all
}
