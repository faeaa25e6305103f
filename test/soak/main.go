// Command soak runs guests under a real svscan for as long as it is told, ends them in every way
// at random, changes what they have, has them forge and their owners log in, and looks all the
// time whether each that should be up is, once; at the end, whether anything is left and
// whether what is ours has grown. The exit code is 1 if anything was found.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"uml/test/lab"
)

func main() {
	if len(os.Args) == 7 && os.Args[1] == "forge" { // in a guest
		forge(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6])
		return
	}
	var o options
	flag.IntVar(&o.minutes, "minutes", 60, "how long guests are troubled")
	flag.IntVar(&o.guests, "guests", 30, "how many")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of what is done to each guest; not of the kernels' timing")
	flag.DurationVar(&o.every, "every", 2500*time.Millisecond, "from one act to the next, over all guests")
	flag.DurationVar(&o.bound, "bound", 3*time.Minute, "within which a guest has to answer after its end")
	flag.BoolVar(&o.keep, "keep", false, "keep the logs if anything was found")
	flag.Parse()
	found := 0
	code := lab.Main(func(t lab.TB) { found = soak(t, o) })
	if found > 0 || code != 0 {
		os.Exit(1)
	}
}

type options struct {
	minutes, guests int
	seed            uint64
	every, bound    time.Duration
	keep            bool
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
