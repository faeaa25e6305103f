package main

import (
	"github.com/urfave/cli/v2"

	"uml/disc"
	"uml/fault"
)

var (
	kernelFlag  = &cli.StringFlag{Name: "kernel", TakesFile: true, Usage: "an initrd is for this kernel `IMAGE`, not the machine's"}
	modulesFlag = &cli.StringFlag{Name: "modules", Value: "/usr/lib/uml/modules", Usage: "kernels' modules are in `DIR`, a directory for each release"}
)

func booted(c *cli.Context) disc.Booted {
	return disc.Booted{Kernel: c.String("kernel"), Modules: c.String("modules")}
}

func createOverlay(c *cli.Context, base, file string, m disc.Make) error {
	if m.FS == "none" {
		return fault.Usage.Permanent("--overlay wants a filesystem in FILE (leave --fs none out)")
	}
	return disc.CreateOverlay(c.Context, options(c), base, file, m, booted(c))
}
