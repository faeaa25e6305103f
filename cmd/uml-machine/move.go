package main

import (
	"errors"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/estate"
	"uml/fault"
	"uml/move"
	"uml/settings"
)

func moveFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "abort", DisableDefaultText: true, Usage: "take back a move that was interrupted"},
		&cli.BoolFlag{Name: "evacuate", DisableDefaultText: true, Usage: "move all machines to HOST"},
		&cli.IntFlag{Name: "jobs", Value: 2, Usage: "of --evacuate: `N` at a time"},
		&cli.BoolFlag{Name: "plan", DisableDefaultText: true, Usage: "of --evacuate: say what fits there, and change nothing"},
		&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give the guest this `TIME` to shut down"},
		&cli.BoolFlag{Name: "force", DisableDefaultText: true, Usage: "end a guest that has not shut down then; else it stays here, and up"},
		&cli.BoolFlag{Name: "delete", DisableDefaultText: true, Usage: "keep no copy here"},
		&cli.StringFlag{Name: "bwlimit", Usage: "send at most `RATE` bytes a second, such as 10M"},
		&cli.StringFlag{Name: "account", Usage: "it runs as this `ACCOUNT` there, which is made"},
		&cli.StringFlag{Name: "kernel", Usage: "it boots this `KERNEL` of that host: a name of uml-kernel there, or a file with a slash in its name"},
		&cli.StringFlag{Name: "ssh", Value: "ssh", Usage: "this `COMMAND` is ssh"},
		&cli.StringFlag{Name: "remote", Value: "uml-machine serve", Usage: "ssh runs this `COMMAND` on HOST"},
		dryRun,
	}
}

func moves(c *cli.Context) error {
	args, err := cmdline.Names(c)
	if err != nil {
		return err
	}
	want := 2
	if c.Bool("evacuate") {
		want = 1
	}
	if len(args) != want {
		return fault.Usage.Permanent("it takes NAME and HOST, and with --evacuate HOST alone (see --help)")
	}
	if c.Bool("evacuate") && (c.Bool("abort") || c.IsSet("account")) {
		return fault.Usage.Permanent("--abort and --account are for one machine")
	}
	o := move.Options{
		Options: options(c), Errand: estate.Errand{Account: c.String("account"), Kernel: c.String("kernel")},
		SSH: c.String("ssh"), Remote: c.String("remote"), Timeout: c.Duration("timeout"), Force: c.Bool("force"), Delete: c.Bool("delete"),
	}
	if text := c.String("bwlimit"); text != "" {
		rate, err := settings.ParseSize(text)
		if err != nil || rate <= 0 {
			return fault.Usage.Permanent("--bwlimit %s: is no rate (try 10M)", text)
		}
		o.Rate = int64(rate)
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	switch {
	case c.Bool("evacuate"):
		return move.Evacuate(ctx, o, args[0], c.Int("jobs"), c.Bool("plan") || c.Bool("dry-run"))
	case c.Bool("abort"):
		return move.Abort(ctx, o, args[0], args[1])
	}
	return move.Move(ctx, o, args[0], args[1])
}

// serve is what ssh runs at the other end. Nothing but frames goes to standard output.
func serve(c *cli.Context) error {
	if args, err := cmdline.Names(c); err != nil || len(args) > 0 {
		return errors.Join(err, fault.Permanent("serve takes no names: it is run by uml-machine move of another host"))
	}
	o := options(c)
	o.Out, o.Step = os.Stderr, nil
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	return move.Serve(ctx, o, os.Stdin, os.Stdout)
}

var age = regexp.MustCompile(`^[0-9]{1,5}[dhms]?$`)

// older is a time such as 7d; a number alone is days.
func older(c *cli.Context) (*time.Duration, error) {
	text := c.String("older")
	if !c.IsSet("older") {
		return nil, nil
	}
	if !age.MatchString(text) {
		return nil, fault.Usage.Permanent("--older %s: is no time (try 7d)", text)
	}
	n, err := strconv.Atoi(strings.TrimRight(text, "dhms"))
	unit := map[byte]time.Duration{'h': time.Hour, 'm': time.Minute, 's': time.Second}[text[len(text)-1]]
	if unit == 0 {
		unit = 24 * time.Hour
	}
	d := time.Duration(n) * unit
	return &d, err
}
