package cmdline

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// Locate is settings.Locate for a machine that must be there: of a name that none
// has, the nearest ones are said.
func Locate(c *cli.Context, name string) (string, error) {
	machines := c.String("machines")
	dir, err := settings.Locate(machines, name)
	if err != nil || strings.Contains(name, "/") {
		return dir, err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, unix.ENOENT) {
		return dir, nil
	}
	there, _ := settings.Machines(machines)
	near := nearest(name, there)
	if len(near) == 0 {
		return "", fault.Permanent("%s: there is no such machine", dir)
	}
	return "", fault.Permanent("%s: there is no such machine (did you mean %s?)", dir, strings.Join(near, " or "))
}

// nearest are at most three of the names: those that one or two slips of the
// fingers, fewer in a short name, may have made of one, and those that begin so.
func nearest(name string, all []string) (near []string) {
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
