package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
	"uml/roster"
	"uml/screen"
)

func list() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "print how machines stand: all, or those named", ArgsUsage: "[NAME...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print them as JSON"},
			&cli.GenericFlag{Name: "watch", Value: new(every), Usage: "again and again, until q, each 2 seconds or as `[=SECONDS]` says"},
		},
		Action: showList,
	}
}

// every is a flag that may stand without a value.
type every struct{ time.Duration }

func (e *every) IsBoolFlag() bool { return true }
func (e *every) Set(s string) (err error) {
	if s == "true" {
		s = "2"
	}
	e.Duration, err = interval(s)
	return err
}
func (e *every) String() string {
	if e.Duration == 0 {
		return "" // help says no default
	}
	return e.Duration.String()
}

// interval reads a number of seconds, or a time with its unit.
func interval(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, is := strconv.ParseFloat(s, 64); is == nil {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
		return 0, fmt.Errorf("%q is no time to wait (0.1 to 86400 seconds)", s)
	}
	return d, nil
}

func showList(c *cli.Context) error {
	watch := c.Generic("watch").(*every).Duration
	look, err := looker(c)
	if err != nil && watch != 0 {
		for _, word := range c.Args().Slice() {
			if _, is := interval(word); is == nil { // and likely no machine
				return fault.Usage.Permanent("%w (for its seconds: --watch=%s)", err, word)
			}
		}
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if watch != 0 {
			return fault.Usage.Permanent("--json and --watch: one of them")
		}
		machines, err := look()
		if err != nil && len(machines) == 0 {
			return err
		}
		return errors.Join(inJSON(machines), err)
	}
	return show(watch, func(columns int) ([]string, error) {
		machines, err := look()
		return roster.Table(machines, columns), err
	}, func(byte) bool { return false })
}

// looker looks at the machines that are named, at all if none is, each time that it
// is called. Of those only what was there at first must be there.
func looker(c *cli.Context) (func() ([]*roster.Machine, error), error) {
	debug.SetGCPercent(400) // 1,000 machines are some megabytes
	names, err := cmdline.Names(c)
	if err != nil {
		return nil, err
	}
	var named []string
	for _, name := range names {
		dir, err := cmdline.Locate(c, name)
		if err != nil {
			return nil, err
		}
		named = append(named, dir)
	}
	again := false
	return func() ([]*roster.Machine, error) {
		dirs := named
		if len(names) == 0 {
			var err error
			if dirs, err = roster.Dirs(c.String("machines")); err != nil {
				return nil, err
			}
		}
		gone := len(names) == 0 || again
		again = true
		return roster.NewRound(c.String("machines"), c.String("service")).Look(dirs, gone)
	}, nil
}

func inJSON(machines []*roster.Machine) error {
	if machines == nil {
		machines = []*roster.Machine{}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "\t")
	if err := e.Encode(machines); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// show prints a table once, or if there is an interval again and again: drawn in
// place on a terminal, else one after another.
func show(interval time.Duration, text func(columns int) ([]string, error), key func(byte) bool) error {
	columns := 0
	if screen.Is(os.Stdout) {
		columns, _ = screen.Size(os.Stdout)
	}
	if interval == 0 {
		lines, err := text(columns)
		if err != nil && len(lines) < 2 {
			return err // no more than the heading
		}
		if _, failed := fmt.Println(strings.Join(lines, "\n")); failed != nil && unread(failed) != nil {
			return fmt.Errorf("print: %w", failed)
		}
		return err
	}
	if columns > 0 && screen.Is(os.Stdin) {
		return screen.Run(os.Stdin, os.Stdout, interval, text, key)
	}
	return plain(interval, -1, text)
}

// plain prints count tables, a number below 0 for ever, until nobody reads them.
func plain(interval time.Duration, count int, text func(columns int) ([]string, error)) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	for i := 0; ; i++ {
		lines, err := text(0)
		if err != nil {
			return err
		}
		if _, err := fmt.Println(strings.Join(lines, "\n")); err != nil {
			return unread(fmt.Errorf("print: %w", err))
		}
		if i+1 == count {
			return nil
		}
		select {
		case <-time.After(interval):
		case <-signals:
			return nil
		}
		fmt.Println()
	}
}
