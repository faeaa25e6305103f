package lock

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"uml/fault"
)

// Counts are of a machine's starts since its lock file was made: the second line of
// the note, written with the first. They are for a person's eye: of two starts that fail
// at the same time one may not be counted.
type Counts struct {
	Starts  uint64 // that became the kernel
	Refused map[fault.ID]uint64
}

// Other is the reason of refusals for more reasons than are kept.
const Other fault.ID = "other"

const (
	maxReasons = 32
	maxReason  = 48
	maxCounts  = 7 + 20 + (maxReasons+1)*(maxReason+22)
)

func (c *Counts) add(n Note) {
	if n.Up {
		c.Starts++
		return
	}
	if c.Refused == nil {
		c.Refused = map[fault.ID]uint64{}
	}
	if _, known := c.Refused[n.ID]; !isReason(string(n.ID)) || !known && len(c.Refused) >= maxReasons {
		n.ID = Other
	}
	c.Refused[n.ID]++
}

func (c Counts) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "starts %d", c.Starts)
	for _, id := range slices.Sorted(maps.Keys(c.Refused)) {
		fmt.Fprintf(&b, " %s %d", id, c.Refused[id])
	}
	return b.String() + "\n"
}

// parseCounts has none of what is damaged.
func parseCounts(text string) (c Counts) {
	words := strings.Split(strings.TrimSuffix(text, "\n"), " ")
	if len(words)%2 != 0 || words[0] != "starts" || len(words) > 2*(maxReasons+2) {
		return c
	}
	all := Counts{Refused: map[fault.ID]uint64{}}
	for i := 0; i < len(words); i += 2 {
		n, err := strconv.ParseUint(words[i+1], 10, 63)
		switch {
		case err != nil || !isReason(words[i]):
			return c
		case i == 0:
			all.Starts = n
		default:
			all.Refused[fault.ID(words[i])] = n
		}
	}
	return all
}

func isReason(s string) bool {
	return s != "" && len(s) <= maxReason && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
