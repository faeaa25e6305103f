package check

import (
	"fmt"
	"os"
	"strings"

	"uml/memory"
	"uml/settings"
)

const mib settings.Size = 1 << 20

// memory compares what the guests may take with what there is: RAM is given out as
// they touch it, so that a host with too little fails only long after the start
// (paper 2.2.1).
func (c *checker) memory() {
	var promised, locked settings.Size
	guests := 0
	for _, m := range c.machines {
		if m.Machine != nil {
			guests++
			promised += m.Machine.Mem + memory.Overhead
		}
		if m.Machine != nil && m.Machine.Lock {
			locked += m.Machine.Mem + memory.Overhead
		}
	}
	have, err := memory.OfHost()
	if err != nil {
		c.host.fail("memory", err)
		return
	}
	line := fmt.Sprintf("%dM promised to %d machines (mem and %v each), of %dM", promised/mib, guests, memory.Overhead, have/mib)
	times := c.h.Overcommit
	switch {
	case times == 0 && promised > have:
		c.host.warn("memory", "%s: guests will be swapped out or killed (lower settings/mem, or run fewer)", line)
	case times > 0 && float64(promised) > float64(have)*times:
		c.host.warn("memory", "%s: more than %s lets run at once (lower settings/mem, or run fewer)", line, c.h.File("overcommit"))
	default:
		c.host.ok("memory", "%s", line)
	}
	if locked > have {
		c.host.warn("memory", "%dM of it must not be swapped out: more than can run at once (lower settings/mem, or remove settings/lock)", locked/mib)
	}
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
		c.host.warn("swappiness", "vm.swappiness is %d: guests' RAM goes to swap for the sake of the host's cache (try: sysctl -w vm.swappiness=0; or yes in settings/lock)", v)
	default:
		c.host.ok("swappiness", "vm.swappiness is %d", v)
	}
}
