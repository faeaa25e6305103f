package netsetup

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"uml/settings"
)

// BenchmarkThousand makes 1,000 machines one after the other and prints what the
// first hundred and the last cost, so that a cost that grows is seen (promise 6).
func BenchmarkThousand(b *testing.B) {
	const all, part = 1000, 100
	for b.Loop() {
		w := newWorld(b)
		did := map[string][]time.Duration{}
		w.host.do(func() {
			for _, what := range []string{"first Up", "second Up", "Foreign", "Release", "Up after Release", "Down"} {
				for n := range all {
					did[what] = append(did[what], took(b, what, numbered(n)))
				}
			}
		})
		for what, d := range did {
			b.ReportMetric(mean(d[:part]), "µs/first-hundred-"+dashed(what))
			b.ReportMetric(mean(d[all-part:]), "µs/last-hundred-"+dashed(what))
		}
	}
}

func took(b *testing.B, what string, m *settings.Machine) time.Duration {
	start := time.Now()
	var err error
	switch what {
	case "Foreign":
		err = Foreign(m, host())
	case "Release":
		err = Release(m, host())
	case "Down":
		err = Down(m, host())
	default:
		err = up(context.Background(), m, host())
	}
	if err != nil {
		b.Errorf("%s: %v", what, err)
	}
	return time.Since(start)
}

func numbered(n int) *settings.Machine {
	a := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
	m := machine(a.String()+"/32", fmt.Sprintf("2001:db8:1:%x::/64", n))
	m.Name = fmt.Sprintf("m%d", n)
	m.Real, m.TAP, m.User.UID = "/machines/"+m.Name, "tap_"+m.Name, 2000+n
	m.MAC = net.HardwareAddr{0xfe, 0xfd, 198, 18, byte(n >> 8), byte(n)}
	return m
}

func mean(all []time.Duration) float64 {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return float64(sum.Microseconds()) / float64(len(all))
}

func dashed(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == ' ' {
			b[i] = '-'
		}
	}
	return string(b)
}
