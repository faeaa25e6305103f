// Command uml-shell is the login shell of a machine's account: see uml-shell(1).
package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"uml/cmdline"
	"uml/fault"
	"uml/request"
	"uml/shell"
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	return cmdline.Run(&cli.App{
		Name:      shell.Name,
		Usage:     "look after a guest, as its owner",
		UsageText: "uml-shell [-c COMMAND]",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "c", Usage: "do `COMMAND` and no more, as sshd gives it"}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return fault.Permanent("%d arguments, it takes none (see --help)", c.NArg())
			}
			if err := shell.Protect(); err != nil {
				return err
			}
			return shell.Run(c.Context, request.Socket, c.String("c"), os.Getenv("SSH_ORIGINAL_COMMAND"), os.Getenv("SSH_CONNECTION"))
		},
	}, args)
}
