package main

import (
	"strconv"

	"github.com/urfave/cli/v2"

	"uml/cow"
	"uml/disc"
	"uml/fault"
)

// cows are the commands for copy-on-write files.
func cows() []*cli.Command {
	return []*cli.Command{
		{Name: "create", ArgsUsage: "BACKINGFILE FILE", Usage: "make an empty COW file of a backing file", Action: cowCreate, Flags: []cli.Flag{
			&cli.StringFlag{Name: "version", Value: "3", Usage: "of the layout `N`, 1, 2 or 3"},
		}},
		{Name: "info", ArgsUsage: "FILE", Usage: "print what header and bitmap say", Flags: []cli.Flag{asJSON()}, Action: files(1, func(c *cli.Context, f []string) error {
			return disc.CowInfo(options(c), f[0], c.Bool("json"))
		})},
		{Name: "check", ArgsUsage: "FILE", Usage: "look whether the pair fits, a kernel reads it rightly, and its filesystem is sound", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "mend", DisableDefaultText: true, Usage: "fill pages that are half written from the backing file"}, backing,
		}, Action: files(1, func(c *cli.Context, f []string) error {
			return disc.CowCheck(c.Context, options(c), f[0], c.String("backing"), c.Bool("mend"))
		})},
		{Name: "merge", ArgsUsage: "FILE", Usage: "make a whole disc of COW and backing file", Action: cowMerge, Flags: []cli.Flag{
			&cli.StringFlag{Name: "into", TakesFile: true, Usage: "write it to `NEW`"},
			&cli.BoolFlag{Name: "in-place", DisableDefaultText: true, Usage: "write it into the backing file; the COW file is empty then, every other one of that backing file worthless"}, backing, noSync,
		}},
		{Name: "rebase", ArgsUsage: "FILE NEWBACKING", Usage: "put a COW file on another backing file; the disc stays the same", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "unsafe", DisableDefaultText: true, Usage: "write the header only: NEWBACKING has the same in it as the old one"}, backing,
		}, Action: files(2, func(c *cli.Context, f []string) error {
			return disc.CowRebase(c.Context, options(c), f[0], f[1], c.String("backing"), c.Bool("unsafe"))
		})},
		{Name: "diff", ArgsUsage: "FILE", Usage: "list what a COW file has: offset, bytes, and whether it differs from the backing file", Flags: []cli.Flag{backing}, Action: files(1, func(c *cli.Context, f []string) error {
			return disc.CowDiff(c.Context, options(c), f[0], c.String("backing"))
		})},
	}
}

func cowCreate(c *cli.Context) error {
	return files(2, func(c *cli.Context, f []string) error {
		v, err := strconv.Atoi(c.String("version"))
		if err != nil || v < int(cow.V1) || v > int(cow.V3) {
			return fault.Usage.Permanent("%q is no version of the layout (1, 2 or 3)", c.String("version"))
		}
		return disc.CowCreate(options(c), f[0], f[1], cow.Version(v))
	})(c)
}

func cowMerge(c *cli.Context) error {
	return files(1, func(c *cli.Context, f []string) error {
		into, back := c.String("into"), c.Bool("in-place")
		switch {
		case into == "" && !back || into != "" && back:
			return fault.Usage.Permanent("say where to: --into NEW, or --in-place for the backing file itself (see --help)")
		case back:
			return disc.CowMergeBack(c.Context, options(c), f[0], c.String("backing"), c.String("machines"))
		}
		return disc.CowMerge(c.Context, options(c), f[0], c.String("backing"), into)
	})(c)
}
