package probe

import (
	"fmt"
	"testing"
)

func TestRanges(t *testing.T) {
	scattered := make([]uint32, maxRanges+1)
	for i := range scattered {
		scattered[i] = uint32(1000 + 2*i)
	}
	for _, test := range []struct {
		name   string
		values []uint32
		want   string
	}{
		{"one", []uint32{7}, "[{7 7}]"},
		{"unsorted, doubled, a block", []uint32{9, 3, 4, 9, 5}, "[{3 5} {9 9}]"},
		{"the ends", []uint32{0xffffffff, 0, 0xfffffffe}, "[{0 0} {4294967294 4294967295}]"},
		{"too many", scattered, "[{1000 1512}]"},
	} {
		if got := fmt.Sprint(ranges(test.values)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if n := len(ranges(scattered[1:])); n != maxRanges {
		t.Errorf("as many as fit: got %d ranges, want %d", n, maxRanges)
	}
}

// The largest program still loads, and finds the first and the last.
func TestFilterEnds(t *testing.T) {
	var all []target
	for i, a := range addresses("10.9.0.0", 2*maxRanges) {
		if i%2 == 0 {
			all = append(all, target{address: a})
		}
	}
	pass := filtered(t, arpFilter(all))
	for address, want := range map[string]bool{
		"10.9.0.0": true, "10.9.0.1": false, "10.9.1.0": true, "10.9.1.253": false, "10.9.1.254": true, "10.9.1.255": false, "10.8.255.255": false,
	} {
		if got := pass(bytes4(arpReply, list(address)[0], host)); got != want {
			t.Errorf("%s: passed %v, want %v", address, got, want)
		}
	}
}
