package firewall

import (
	"context"
	"net/netip"
	"testing"
)

// What a start pays where the rules stand: a look at both families, and whether its
// two prefixes are known as guests'.
func BenchmarkStands(b *testing.B) {
	s := newSpace(b)
	own := []netip.Prefix{netip.MustParsePrefix("192.0.2.20/32"), netip.MustParsePrefix("2001:db8:1::/64")}
	err := s.do(func() error {
		if err := Restore(context.Background(), closed); err != nil {
			return err
		}
		for b.Loop() {
			states, err := Look(closed)
			if err != nil || !states[0].Stands() {
				b.Fatal(states, err)
			}
			if _, _, err := Owned(own, false); err != nil {
				b.Fatal(err)
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
