// Package rights is what root keeps of its rights in a service that needs some.
//
// Namespaces and capabilities are a thread's, and a Go program has several, so that they
// are given up by one, the process's first, which then executes the program anew.
package rights

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// keep gives up all capabilities of the calling thread but these (CAP_*), for good: the
// program that it executes next has no others, with no_new_privs or without.
func keep(these []uint) error {
	var kept [2]uint32
	for _, c := range these {
		kept[c/32] |= 1 << (c % 32)
	}
	for c := uint(0); ; c++ {
		if c < 64 && kept[c/32]&(1<<(c%32)) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && c > unix.CAP_AUDIT_READ { // past the kernel's last
			break
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	for i, k := range kept {
		sets[i] = unix.CapUserData{Effective: k, Permitted: k}
	}
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fault.Permanent("give up capabilities: %w (root lacks some of those that are needed, by number: %d)", err, these)
	}
	return nil
}
