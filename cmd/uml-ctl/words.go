package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
	"uml/mconsole"
	"uml/runscript"
)

// words are the commands that a guest's kernel does itself.
func words() (all []*cli.Command) {
	for _, w := range mconsole.Words {
		if w.Name == "log" {
			continue // it has two meanings: see logs
		}
		all = append(all, &cli.Command{
			Name: w.Name, Usage: w.Does, ArgsUsage: strings.TrimSpace("NAME " + w.Arg), Action: ask,
		})
	}
	return all
}

func ask(c *cli.Context) error {
	names, err := cmdline.Names(c)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fault.Usage.Permanent("no NAME of a machine (see --help)")
	}
	command, err := mconsole.Command(c.Command.Name, names[1:])
	if err != nil {
		return err
	}
	if c.Duration("timeout") <= 0 {
		return fault.Usage.Permanent("--timeout: %v is no time to wait", c.Duration("timeout"))
	}
	dir, err := cmdline.Locate(c, names[0])
	if err != nil {
		return err
	}
	cmdline.About(dir)
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	text, err := runscript.Ask(ctx, dir, command)
	return errors.Join(err, printAnswer(text))
}

// printAnswer prints an answer, without the empty line that some begin with.
func printAnswer(text string) error {
	text = strings.Trim(text, "\n")
	if text == "" {
		return nil
	}
	if _, err := fmt.Println(mconsole.Clean(text)); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}
