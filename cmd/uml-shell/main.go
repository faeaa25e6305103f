// The runtime need not find out again and again how many processors it may use.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command uml-shell is the login shell of a machine's account: see uml-shell(1).
package main

import (
	"context"
	"fmt"
	"os"

	"uml/fault"
	"uml/request"
	"uml/shell"
	"uml/version"
)

func main() { os.Exit(run(os.Args[1:])) }

const help = `uml-shell - look after a guest, as its owner

It is the login shell of a machine's account, and started by sshd.

  uml-shell              a prompt; without a terminal, commands are read line by line
  uml-shell -c COMMAND   one command
  uml-shell --help, -h   this text
  uml-shell --version, -v

The command help tells what commands there are; uml-shell(1) tells more.
`

// What follows -c is the customer's, and may look like any flag. The library that reads
// other programs' flags would be a megabyte of a process that waits a thousand times.
func run(args []string) int {
	err := shell.Protect()
	switch {
	case err != nil:
	case len(args) == 0:
		err = login("")
	case len(args) == 2 && args[0] == "-c":
		err = login(args[1])
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		fmt.Print(help)
	case len(args) == 1 && (args[0] == "--version" || args[0] == "-v"):
		fmt.Println(shell.Name, "version", version.This())
	default:
		err = fault.Usage.Permanent("usage: uml-shell [-c COMMAND] (see --help)")
	}
	return fault.Report(os.Stderr, shell.Name, err)
}

func login(command string) error {
	return shell.Run(context.Background(), request.Socket, command, os.Getenv("SSH_ORIGINAL_COMMAND"), os.Getenv("SSH_CONNECTION"))
}
