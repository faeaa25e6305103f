package main

import (
	"github.com/urfave/cli/v2"

	"uml/builder"
)

func update(c *cli.Context, args []string) error {
	o, err := options(c)
	if err != nil {
		return err
	}
	t, err := builder.Update(c.Context, o, builder.Refresh{Name: args[0], IP4: c.StringSlice("ip4"), DNS: c.StringSlice("dns"), Resolv: "/etc/resolv.conf"})
	if t == nil || err != nil {
		return err
	}
	return printMade(t)
}
