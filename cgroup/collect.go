package cgroup

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Remove takes a machine's group away, if it is there. One that has processes stays: the
// guest runs, or strays of it do, which its next start ends.
func (t *Tree) Remove(machine string) (removed bool, err error) {
	err = unix.Rmdir(t.Group(machine))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EBUSY):
		return false, nil
	case err != nil:
		return false, &os.PathError{Op: "remove control group", Path: t.Group(machine), Err: err}
	}
	return true, nil
}

// Machines are those that have groups.
func (t *Tree) Machines() (names []string, err error) {
	all, err := os.ReadDir(path.Join(t.Top, Slice))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		if name, ok := strings.CutPrefix(e.Name(), prefix); ok && e.IsDir() {
			names = append(names, name)
		}
	}
	return names, err
}
