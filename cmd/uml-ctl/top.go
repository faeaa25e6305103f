package main

import (
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"uml/fault"
	"uml/screen"
	"uml/usage"
)

func top() *cli.Command {
	return &cli.Command{
		Name: "top", Usage: "show what running guests take: all, or those named", ArgsUsage: "[NAME...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "delay", Aliases: []string{"d"}, Value: "2", Usage: "measure over so many `SECONDS`"},
			&cli.IntFlag{Name: "count", Aliases: []string{"n"}, Usage: "end after `COUNT` tables; 0: never"},
			&cli.BoolFlag{Name: "plain", DisableDefaultText: true, Usage: "print one table after another"},
		},
		Action: showTop,
	}
}

func showTop(c *cli.Context) error {
	see, err := looker(c)
	if err != nil {
		return err
	}
	delay, err := interval(c.String("delay"))
	if err != nil {
		return fault.Usage.Permanent("--delay: %w", err)
	}
	count := c.Int("count")
	if count < 0 {
		return fault.Usage.Permanent("--count: %d is no number of tables", count)
	}
	var s usage.Sampler
	var guests []*usage.Guest
	var at time.Time
	by := byte('c')
	look := func(columns int) ([]string, error) {
		if time.Since(at) < delay/2 { // a key was pressed: sorted anew, not measured over too short a time
			usage.Sort(guests, by)
			return usage.Table(guests, columns, by), nil
		}
		at = time.Now()
		machines, err := see()
		guests = s.Sample(machines)
		usage.Sort(guests, by)
		return usage.Table(guests, columns, by), err
	}
	if _, err := look(0); err != nil { // to compare the first with
		return err
	}
	if c.Bool("plain") || count > 0 || !screen.Is(os.Stdout) || !screen.Is(os.Stdin) {
		time.Sleep(delay)
		if count == 0 {
			count = -1
		}
		return plain(delay, count, look)
	}
	return screen.Run(os.Stdin, os.Stdout, delay, look, func(key byte) bool {
		if _, ok := usage.Keys[key]; ok {
			by = key
		}
		return false
	})
}
