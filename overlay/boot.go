// Package overlay is what a guest's first process does whose root is an overlay: a base
// disc that many guests share, read-only, below a small disc of its own. It runs in the
// guest, from the initramfs that package initramfs writes, and becomes the guest's init.
//
// The kernel's argument overlay=BASE,DISC names the two (/dev/ubda,/dev/ubdb), init= the
// program that it becomes. All others reach that program as they would without it.
//
// An archive with a file plain is for guests without an overlay whose kernel has as
// modules what their roots have not, IPv6 for one: their root is what root= says.
package overlay

import (
	"fmt"
	"os"
	"time"

	"uml/early"

	"golang.org/x/sys/unix"
)

// patience keeps a supervisor, which starts the guest again at once, from spinning.
const patience = 15 * time.Second

// Boot does not return. If there can be no overlay it says why on the console, and ends
// the guest.
func Boot() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "uml-overlay-init: is the first process of a guest (see uml-disk(8), create --overlay, and uml-kernel(8))")
		os.Exit(100)
	}
	say("fatal: %v", boot())
	say("the guest ends in %v", patience)
	time.Sleep(patience)
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "uml-overlay-init: "+format+"\n", args...)
}

// boot returns only if it failed.
func boot() error {
	if err := early.Surroundings(); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	a := parse(string(line))
	root := join
	if _, err := os.Stat(plainMark); err == nil {
		root = plain
	}
	if err := early.LoadModules(); err != nil {
		return err
	}
	if err := root(a); err != nil {
		return err
	}
	return become(a.init)
}
