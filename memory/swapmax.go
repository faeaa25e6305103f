package memory

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Unswapped is the control group, of those that a process is in, that keeps all within it
// out of swap: its memory.swap.max is 0. "" if there is none. Only groups of version 2
// have such a limit of their own; it holds for those below as well
// (Documentation/admin-guide/cgroup-v2.rst).
//
// cgroup is the text of the process's /proc/PID/cgroup, and mountinfo that of its
// /proc/PID/mountinfo.
func Unswapped(cgroup, mountinfo string) (string, error) {
	group, ok := "", false
	for line := range strings.Lines(cgroup) {
		if g, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); found {
			group, ok = g, true
		}
	}
	root, at := hierarchy(mountinfo)
	below, within := strings.CutPrefix(path.Clean(group)+"/", strings.TrimSuffix(root, "/")+"/")
	if !ok || at == "" || !within {
		return "", nil
	}
	for dir := path.Join(at, below); ; dir = path.Dir(dir) {
		text, err := os.ReadFile(path.Join(dir, "memory.swap.max"))
		if err == nil && strings.TrimSpace(string(text)) == "0" {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the root group has none
			return "", err
		}
		if dir == at || dir == "/" {
			return "", nil
		}
	}
}

// hierarchy is where control groups of version 2 are mounted, and which of them:
// "34 25 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw"
// (proc_pid_mountinfo(5)).
func hierarchy(mountinfo string) (root, at string) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if len(f) >= 5 && strings.HasPrefix(after, "cgroup2 ") && !strings.HasPrefix(f[3], "/..") {
			return f[3], f[4]
		}
	}
	return "", ""
}
