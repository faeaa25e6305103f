package mconsole_test

import (
	"context"
	"fmt"
	"time"

	"uml/mconsole"
)

// Ask the guest "web", whose kernel is process 4711 and runs as user 2001, for its
// memory.
func Example() {
	guest, err := mconsole.Dial(4711, 2001, "web")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer guest.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	meminfo, err := guest.Proc(ctx, "meminfo")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mconsole.Clean(meminfo))
}

// What a guest says is shown, and does nothing.
func ExampleClean() {
	fmt.Println(mconsole.Clean("\x1b[2Jgone?"))
	// Output: \x1b[2Jgone?
}
