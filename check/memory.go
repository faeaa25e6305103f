package check

import (
	"fmt"
	"os"
	"strings"

	"uml/settings"
)

const mib settings.Size = 1 << 20

// overhead is what a guest kernel takes beside its guest's RAM. Debian's 6.1, booted:
// 10 MB of its image, since each jail has a copy of its own, 1 MB of stacks and
// heap, 0.1 MB of page tables for itself and each of its guest's processes.
const overhead = 12 * mib

// memory compares what the guests may take with what there is: RAM is given out as
// they touch it, so that a host with too little fails only long after the start
// (paper 2.2.1).
func (c *checker) memory() {
	var promised settings.Size
	guests := 0
	for _, m := range c.machines {
		if m.Machine != nil {
			guests++
			promised += m.Machine.Mem + overhead
		}
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		c.host.fail("memory", err)
		return
	}
	have := memTotal(string(text))
	line := fmt.Sprintf("%dM promised to %d machines (mem and %v each), of %dM", promised/mib, guests, overhead, have/mib)
	if promised > have {
		c.host.warn("memory", "%s: guests will be swapped out or killed (lower settings/mem, or run fewer)", line)
		return
	}
	c.host.ok("memory", "%s", line)
}

// memTotal reads "MemTotal:       16384256 kB" (proc_meminfo(5)).
func memTotal(meminfo string) settings.Size {
	for line := range strings.Lines(meminfo) {
		var kb settings.Size
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// swappy is the most that leaves guests alone (paper 5.4): above it the kernel
// swaps guests' RAM out for the host's own cache of files.
const swappy = 10

func (c *checker) swappiness() {
	v, ok := sysctl("vm/swappiness")
	swaps, err := os.ReadFile("/proc/swaps")
	if !ok || err != nil {
		return
	}
	switch {
	case strings.Count(string(swaps), "\n") < 2:
		c.host.ok("swappiness", "the host has no swap")
	case v > swappy:
		c.host.warn("swappiness", "vm.swappiness is %d: guests' RAM goes to swap for the sake of the host's cache (try: sysctl -w vm.swappiness=0)", v)
	default:
		c.host.ok("swappiness", "vm.swappiness is %d", v)
	}
}
