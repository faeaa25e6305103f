// Command floor executes the kernel and does nothing else: what any run program
// in Go costs at least.
package main

import "syscall"

func main() { panic(syscall.Exec("jail/linux", []string{"linux"}, nil)) }
