// Package cmdline is what the command lines of all programs of the suite have in
// common: how they are read, how they fail, and what version they are.
package cmdline

import (
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
	"uml/spelling"
	"uml/version"
)

// Machines, HostSettings and Service are the flags that say where things lie.
var (
	Machines = &cli.StringFlag{
		Name: "machines", Value: settings.DefaultMachines, EnvVars: []string{"UML_MACHINES"},
		Usage: "look NAME up in `DIR`", TakesFile: true,
	}
	HostSettings = &cli.StringFlag{
		Name: "host-settings", Value: settings.DefaultHostDir, EnvVars: []string{"UML_HOST_SETTINGS"},
		Usage: "the host's own settings are in `DIR`", TakesFile: true,
	}
	Service = &cli.StringFlag{
		Name: "service", Value: "/service", EnvVars: []string{"UML_SERVICE"},
		Usage: "activated machines are linked into `DIR`", TakesFile: true,
	}
)

// Run parses args, runs the app and returns its exit code: 0, 100 for what
// somebody must change, usage errors included, 111 for what may pass. Errors go
// to standard error, a line each; help to standard output.
func Run(app *cli.App, args []string) int { return run(app, args, false) }

// RunService is Run of what a supervisor runs: the host's setting log-format holds.
func RunService(app *cli.App, args []string) int { return run(app, args, true) }

func run(app *cli.App, args []string, service bool) int {
	log.Program, log.JSON = app.Name, formatOf(args, service) == settings.LogJSON
	// A log that has died must not kill the program in the middle of its work.
	// The signal is caught, not ignored: that would pass on to a guest.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	// What a start makes for the guest's user has the mode that it is made with.
	unix.Umask(0o022)
	app.Version = version.This()
	app.HideHelpCommand = true
	app.DisableSliceFlagSeparator = true
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.OnUsageError = usage
	app.Flags = append(app.Flags, logFormat())
	strict(app.Commands)
	if app.Action == nil {
		app.Action = noCommand(app.Commands)
	}
	return log.Fail(app.Run(flagsFirst(app, args)))
}

// strict gives commands what they do not inherit.
func strict(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelpCommand = true
		c.OnUsageError = usage
		if len(c.Subcommands) > 0 {
			c.Action = noCommand(c.Subcommands)
			strict(c.Subcommands)
		}
	}
}

func noCommand(of []*cli.Command) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.NArg() == 0 {
			return fault.Usage.Permanent("no command (see --help)")
		}
		return fault.Usage.Permanent("%q is no command (%ssee --help)", c.Args().First(), didYouMean(c.Args().First(), of))
	}
}

func usage(c *cli.Context, err error, _ bool) error {
	if isTime(c, err) {
		return fault.Usage.Permanent("%w (a time has a unit, such as 30s or 2m; see --help)", err)
	}
	return fault.Usage.Permanent("%w (see --help)", err)
}

// isTime says whether the error is of the value of a flag that takes a time, of
// which package flag says "parse error" only.
func isTime(c *cli.Context, err error) bool {
	_, name, _ := strings.Cut(err.Error(), " for flag -")
	name, _, _ = strings.Cut(name, ":")
	flags := c.App.Flags
	if c.Command != nil {
		flags = slices.Concat(c.Command.Flags, flags)
	}
	_, is := find(name, flags).(*cli.DurationFlag)
	return is
}

func didYouMean(word string, commands []*cli.Command) string {
	var all []string
	for _, c := range commands {
		all = append(all, c.Name)
	}
	near := spelling.Nearest(word, all)
	if len(near) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(near, " or ") + "? "
}

// Names are the arguments of a command that takes names of machines. One that
// looks like a flag, as "--" lets it through, is none.
func Names(c *cli.Context) ([]string, error) {
	for _, a := range c.Args().Slice() {
		if strings.HasPrefix(a, "-") {
			return nil, fault.Usage.Permanent("%q is no name (see --help)", a)
		}
	}
	return c.Args().Slice(), nil
}

// Machine is the directory of the one machine that the arguments name; the
// working directory if they name none.
func Machine(c *cli.Context) (string, error) {
	names, err := Names(c)
	if err != nil {
		return "", err
	}
	switch len(names) {
	case 0:
		About(".")
		return ".", nil
	case 1:
		dir, err := settings.Locate(c.String("machines"), names[0])
		if err == nil {
			About(dir)
		}
		return dir, err
	}
	return "", fault.Usage.Permanent("%d names, it takes one (see --help)", len(names))
}
