package radvd

import (
	"fmt"
	"testing"
)

// A run from cron that finds nothing to do, for 10,000 machines.
func BenchmarkUnchanged(b *testing.B) {
	h := newHost(b)
	for i := range 10000 {
		h.machine(fmt.Sprintf("m%d", i), fmt.Sprintf("2001:db8:%x:%x::/64", i>>8, i&0xff))
	}
	h.write(false)
	for b.Loop() {
		h.write(true)
	}
}
