package usage

import (
	"path"
	"strconv"
	"strings"
	"sync"

	"uml/handle"
	"uml/roster"
)

// groupsOf are the directories of control groups, by the guest that alone is in it.
func groupsOf(machines []*roster.Machine) map[int]string {
	at := mounted()
	if at == "" {
		return nil
	}
	self, by := group("self"), map[string][]int{}
	for _, m := range machines {
		if m.PID == 0 {
			continue
		}
		if g := group(strconv.Itoa(m.PID)); g != "" && g != "/" && g != self {
			by[g] = append(by[g], m.PID)
		}
	}
	all := map[int]string{}
	for g, pids := range by {
		if len(pids) == 1 {
			all[pids[0]] = path.Join(at, g)
		}
	}
	return all
}

// group is the process's in the hierarchy of version 2.
func group(pid string) string {
	text, _ := handle.ReadProc("/proc/" + pid + "/cgroup")
	for line := range strings.Lines(string(text)) {
		if g, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return g
		}
	}
	return ""
}

// mounted is where that hierarchy is.
var mounted = sync.OnceValue(func() string {
	text, _ := handle.ReadProc("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if before, _, ok := strings.Cut(line, " - cgroup2 "); ok {
			return strings.Fields(before)[4]
		}
	}
	return ""
})
