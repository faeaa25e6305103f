// Package spelling finds what somebody may have meant who mistyped a name.
package spelling

import (
	"slices"
	"strings"
)

// Nearest are at most three of the names: those that one or two slips of the
// fingers, fewer in a short name, may have made of one, and those that begin so.
func Nearest(name string, all []string) (near []string) {
	most := 1 + len(name)/5
	type candidate struct {
		name string
		away int
	}
	var found []candidate
	for _, n := range all {
		away := distance(strings.ToLower(name), strings.ToLower(n))
		if len(name) > 1 && strings.HasPrefix(n, name) {
			away = min(away, most)
		}
		if away <= most {
			found = append(found, candidate{n, away})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.away - b.away })
	for _, c := range found[:min(3, len(found))] {
		near = append(near, c.name)
	}
	return near
}

// distance is how many letters were left out, put in, changed or exchanged with
// their neighbour (optimal string alignment).
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
