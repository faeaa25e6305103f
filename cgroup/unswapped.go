package cgroup

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"uml/handle"
)

// Unswapped is the control group, of those that the process is in, that keeps all within
// it out of swap: its memory.swap.max is 0. "" if there is none. Only groups of version 2
// have such a limit of their own; it holds for those below as well
// (Documentation/admin-guide/cgroup-v2.rst).
func (v View) Unswapped() (string, error) {
	dir, _ := v.dir()
	return v.UnswappedAbove(dir)
}

// UnswappedAbove is that for a process in the group of the directory dir.
func (v View) UnswappedAbove(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	_, at := v.dir()
	for ; ; dir = path.Dir(dir) {
		text, err := handle.ReadProc(path.Join(dir, "memory.swap.max"))
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
