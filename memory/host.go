package memory

import (
	"fmt"

	"golang.org/x/sys/unix"

	"uml/settings"
)

// Overhead is what a guest kernel takes beside its guest's RAM. Debian's 6.1, booted:
// 10 MB of its image, since each jail has a copy of its own, 1 MB of stacks and
// heap, 0.1 MB of page tables for itself and each of its guest's processes.
const Overhead = 12 * mib

// OfHost is the RAM that the host's kernel has, MemTotal of /proc/meminfo (sysinfo(2)).
func OfHost() (settings.Size, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("ask for the host's RAM: %w", err)
	}
	return settings.Size(info.Totalram) * settings.Size(info.Unit), nil
}
