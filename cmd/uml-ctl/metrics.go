package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/cmdline"
	"uml/fault"
)

func metrics() *cli.Command {
	return &cli.Command{
		Name: "metrics", Usage: "say for Prometheus how guests stand: becomes uml-metrics",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Usage: "write `FILE`, for node_exporter's textfile collector", TakesFile: true},
			&cli.StringFlag{Name: "listen", Usage: "serve /metrics at `HOST:PORT` until ended"},
			&cli.BoolFlag{Name: "open", DisableDefaultText: true, Usage: "where namespaces cannot be made, as in a container, serve without"},
		},
		Action: becomeMetrics,
	}
}

// becomeMetrics executes the program that lies beside this one: the library that it has
// linked in would double what each request of uml-ctl costs.
func becomeMetrics(c *cli.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"uml-metrics", "--machines=" + c.String("machines"), "--service=" + c.String("service")}
	for _, name := range []string{"output", "listen"} {
		if c.IsSet(name) {
			args = append(args, "--"+name+"="+c.String(name))
		}
	}
	if c.Bool("open") {
		args = append(args, "--open")
	}
	if cmdline.JSON() {
		args = append(args, "--log-format=json")
	}
	program := filepath.Join(filepath.Dir(self), args[0])
	err = unix.Exec(program, append(append(args, "--"), c.Args().Slice()...), os.Environ())
	return fault.ProgramMissing.Of(fmt.Errorf("%s: %w", program, err))
}
