package check

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/cgroup"
)

// shares: what of a fair share a start would get under this host's supervisor.
func (c *checker) shares() {
	v, err := cgroup.Look(cgroup.Starter())
	var t *cgroup.Tree
	if err == nil {
		t, err = v.Tree()
	}
	if err != nil {
		c.host.warn("shares", "guests have no shares of their own, and one can starve the others: %v", err)
		return
	}
	by := map[string][]string{}
	for _, l := range cgroup.Controllers {
		if why := t.Lost[l]; why != "" {
			by[why] = append(by[why], l)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(by)) {
		c.host.warn("shares", "%s: guests have no shares of their own: %s", strings.Join(by[why], ", "), why)
	}
	var st unix.Stat_t
	if unix.Stat(c.Machines, &st) == nil && t.Lost["io"] == "" {
		for _, d := range t.Weightless(&cgroup.Share{Files: []uint64{st.Dev}}) {
			c.host.warn("shares", "io: on disc %s, which %s is on, guests' weights have no effect: neither bfq schedules it nor is it on in io.cost.qos (try: echo bfq >/sys/dev/block/%s/queue/scheduler)", d, c.Machines, d)
		}
	}
	if !t.None() {
		have := slices.DeleteFunc(slices.Clone(cgroup.Controllers), func(c string) bool { return t.Lost[c] != "" })
		c.host.ok("shares", "guests' groups are in %s: %s", filepath.Join(t.Top, cgroup.Slice), strings.Join(have, ", "))
	}
}
