// Command hostile is what a guest's user might run: in the jail, as one who broke
// out of a kernel, and outside of it, as one who waits for the next start. Only
// tests use it. It is safe for the host as far as the suite holds its promises.
package main

import (
	"fmt"
	"os"
)

func main() {
	modes := map[string]func(args []string) error{
		"look":  look,  // in the jail: say what there is
		"try":   try,   // in the jail: try to get out, or to take too much
		"stand": stand, // outside: be what is attacked
		"race":  race,  // outside: change what a start looks at
		"catch": catch, // outside: get hold of a start
	}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: hostile look|try|stand|race|catch [ARG...]")
		os.Exit(100)
	}
	if err := modes[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}
