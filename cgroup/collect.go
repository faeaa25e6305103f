package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// Collect removes the groups of guests that left says are no machines any more, wherever
// in the host's hierarchy they are, and returns them. A group with processes stays. With
// dry it removes none.
func Collect(left func(machine string) bool, dry bool) (removed []string, err error) {
	mounts, err := handle.ReadProc("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	_, at := hierarchy(string(mounts))
	if !mounted(at) {
		return nil, nil
	}
	return collect(at, left, dry)
}

func collect(at string, left func(machine string) bool, dry bool) (removed []string, err error) {
	var errs []error
	err = filepath.WalkDir(at, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // groups come and go
			return nil
		}
		if err != nil && name == at {
			return err
		}
		// To whom a part was delegated he may nest groups in it until a path is too long to
		// be named. None of ours is that deep.
		if errors.Is(err, unix.ENAMETOOLONG) {
			return fs.SkipDir
		}
		if err != nil {
			errs = append(errs, err)
			return fs.SkipDir
		}
		machine, ours := strings.CutPrefix(d.Name(), prefix)
		if !d.IsDir() || !ours || path.Base(path.Dir(name)) != Slice {
			return nil
		}
		if left(machine) && empty(name) {
			if !dry {
				err = unix.Rmdir(name)
			}
			switch {
			case err == nil:
				removed = append(removed, name)
			case !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT):
				errs = append(errs, &os.PathError{Op: "remove control group", Path: name, Err: err})
			}
		}
		return fs.SkipDir
	})
	return removed, errors.Join(append(errs, err)...)
}

// empty: no process is in the group, or in one below.
func empty(group string) bool {
	text, err := handle.ReadProc(path.Join(group, "cgroup.events"))
	return err == nil && strings.Contains(string(text), "populated 0\n")
}
