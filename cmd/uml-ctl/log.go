package main

import (
	"errors"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
	"uml/logdir"
)

// seeing are the commands that only look.
func seeing() []*cli.Command {
	return []*cli.Command{
		list(), top(), metrics(),
		{
			Name: "log", Usage: "print the end of the guest's log; with TEXT, write a line into its kernel log", ArgsUsage: "NAME [TEXT]",
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, DisableDefaultText: true, Usage: "and what is added to it, until interrupted"},
				&cli.StringFlag{Name: "lines", Aliases: []string{"n"}, Value: "20", Usage: "print the last `LINES`, or all"},
				&cli.StringFlag{Name: "dir", TakesFile: true, Usage: "the log is in `DIR`, not in NAME/log"},
			},
			Action: showLog,
		},
	}
}

func showLog(c *cli.Context) error {
	names, err := cmdline.Names(c)
	if err != nil {
		return err
	}
	if len(names) > 1 {
		for _, flag := range []string{"follow", "lines", "dir"} {
			if c.IsSet(flag) {
				return fault.Usage.Permanent("--%s, and a TEXT: one of them (see --help)", flag)
			}
		}
		return ask(c)
	}
	lines, err := parseLines(c.String("lines"))
	if err != nil {
		return err
	}
	dir := c.String("dir")
	if dir == "" {
		if len(names) == 0 {
			return fault.Usage.Permanent("no NAME of a machine (see --help)")
		}
		machine, err := cmdline.Locate(c, names[0])
		if err != nil {
			return err
		}
		if dir, err = logdir.Of(machine); err != nil {
			return err
		}
	}
	print := func(n int) error { return logdir.Tail(os.Stdout, dir, n) }
	if c.Bool("follow") {
		print = func(n int) error { return logdir.Follow(os.Stdout, dir, n) }
	}
	return unread(print(lines))
}

// unread is err, unless nobody reads our output any more: that is an end like any.
func unread(err error) error {
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}

// parseLines is a number of lines, negative for all.
func parseLines(s string) (int, error) {
	if s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fault.Usage.Permanent("--lines: %q is no number of lines (try 20, or all)", s)
	}
	return n, nil
}
