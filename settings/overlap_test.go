package settings

import (
	"strings"
	"testing"
)

func TestPrefixesOverlap(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"ip4", []string{"192.0.2.33", "192.0.2.32/29"}, `"192.0.2.32/29" overlaps "192.0.2.33/32"`},
		{"ip6", []string{"2001:db8::/64", "2001:db8::/48"}, `"2001:db8::/48" overlaps "2001:db8::/64"`},
		{"ip4", strings.Fields(strings.Repeat("192.0.2.1 ", 257)), "257 lines: a machine has at most 256 (a block is one)"},
		{"ip4", []string{"192.0.2.32/29", "192.0.2.40"}, ""},
	} {
		err := (&Machine{}).set(c.name, c.lines)
		if got := errText(err); got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.name, c.lines[:2], got, c.want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
