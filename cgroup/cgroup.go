// Package cgroup holds guests to their shares of the host by control groups of version 2
// (Documentation/admin-guide/cgroup-v2.rst): one group for all guests, "uml", and in it
// one for each, which its start makes, sets and enters before it becomes the guest's
// kernel. From then on the host's kernel does all: nothing of ours stays resident.
//
// It makes groups only where it may: in a group that was delegated, which systemd marks
// with an extended attribute, and without systemd in the one that the start is in. What
// the host does not have is lost by itself, and named; the rest is set.
//
// Not promised: that a group is gone when its guest is. An empty one costs the host a few
// kilobytes and no time; Collect removes those whose machines are gone.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// Slice is the name of the group for all guests. A guest's is uml-NAME in it: no file of
// the kernel's begins so, and any name is one of a machine.
const (
	Slice  = "uml"
	prefix = "uml-"
)

// Controllers are what shares are kept by.
var Controllers = []string{"cpu", "io", "memory", "pids"}

// A View is what is known of a process's control groups.
type View struct {
	Cgroup    string // its /proc/PID/cgroup
	Mountinfo string // that of who looks
	PID       int
	Systemd   bool // the host's services are systemd's, and so are the groups that it has not delegated
}

// Look is the view of a process.
func Look(pid int) (View, error) {
	own, err := handle.ReadProc(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return View{}, err
	}
	mounts, err := handle.ReadProc("/proc/self/mountinfo")
	if err != nil {
		return View{}, err
	}
	var st unix.Stat_t
	booted := unix.Lstat("/run/systemd/system", &st) == nil // sd_booted(3)
	return View{string(own), string(mounts), pid, booted}, nil
}

// A Tree is the place that guests' groups are made in.
type Tree struct {
	Top  string            // the group that has the slice
	Lost map[string]string // why, for each controller that cannot be had

	first bool // the process must leave Top before it can be divided
}

// Tree finds it. The error says why there is none, and what to do.
func (v View) Tree() (*Tree, error) {
	dir, at := v.dir()
	if !mounted(at) {
		return nil, fault.ShareLost.Permanent("no control groups of version 2 are mounted (try: mount -t cgroup2 none /sys/fs/cgroup)")
	}
	if dir == "" {
		return nil, fault.ShareLost.Permanent("the control group is outside of what is mounted at %s", at)
	}
	if slice, name := path.Split(dir); path.Base(slice) == Slice && strings.HasPrefix(name, prefix) {
		dir = path.Dir(path.Clean(slice)) // of a guest that runs
	}
	top, ok := delegated(dir, at)
	if !ok && v.Systemd {
		return nil, fault.ShareLost.Permanent("%s is systemd's, and was not delegated (set Delegate=yes in the supervisor's unit, and start it again)", dir)
	}
	if !ok {
		top = dir
	}
	t := &Tree{Top: top, Lost: map[string]string{}}
	return t, t.look(v)
}

// mounted: what was mounted may be hidden below another mount.
func mounted(at string) bool {
	_, err := os.Lstat(path.Join(at, "cgroup.controllers"))
	return at != "" && err == nil
}

// dir is the directory of the process's group, and where the hierarchy is mounted.
func (v View) dir() (dir, at string) {
	root, at := hierarchy(v.Mountinfo)
	group, ok := groupOf(v.Cgroup)
	below, within := strings.CutPrefix(path.Clean(group)+"/", strings.TrimSuffix(root, "/")+"/")
	if !ok || at == "" || !within || strings.HasPrefix(group, "/..") {
		return "", at
	}
	return path.Join(at, below), at
}

// groupOf is the group of version 2 in a /proc/PID/cgroup.
func groupOf(cgroup string) (group string, ok bool) {
	for line := range strings.Lines(cgroup) {
		if g, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); found {
			group, ok = g, true
		}
	}
	return group, ok
}

// delegated is the nearest group, from dir upwards, that its manager has given away
// (systemd's docs/CGROUP_DELEGATION.md; the second is for who has no privilege there, and
// for an administrator's own marks).
func delegated(dir, at string) (top string, ok bool) {
	for ; ; dir = path.Dir(dir) {
		for _, mark := range []string{"trusted.delegate", "user.delegate"} {
			var b [8]byte
			n, err := unix.Getxattr(dir, mark, b[:])
			if err == nil && string(b[:n]) == "1" {
				return dir, true
			}
		}
		if dir == at || dir == "/" {
			return "", false
		}
	}
}

// look finds what controllers groups in Top can have.
func (t *Tree) look(v View) error {
	have, err := words(t.Top, "cgroup.controllers")
	if err != nil {
		return err
	}
	given, err := words(t.Top, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	missing := 0
	for _, c := range Controllers {
		switch {
		case slices.Contains(given, c):
		case slices.Contains(have, c):
			missing++
		case old(v.Mountinfo, c):
			t.Lost[c] = "this host has the controller in version 1 (boot it with systemd.unified_cgroup_hierarchy=1, or unmount that)"
		default:
			t.Lost[c] = t.Top + " does not have the controller"
		}
	}
	if missing == 0 {
		return nil
	}
	why := ""
	if t.first, why = t.crowded(v.PID); why == "" {
		return nil
	}
	for _, c := range Controllers {
		if slices.Contains(have, c) && !slices.Contains(given, c) {
			t.Lost[c] = why
		}
	}
	return nil
}

// crowded: no group but the root of all can give controllers to those below while it has
// processes itself ("no internal processes"). If this is the only one, it goes first.
func (t *Tree) crowded(pid int) (first bool, why string) {
	if _, err := os.Lstat(path.Join(t.Top, "cgroup.type")); errors.Is(err, os.ErrNotExist) {
		return false, ""
	}
	pids, err := words(t.Top, "cgroup.procs")
	switch {
	case err != nil:
		return false, err.Error()
	case len(pids) == 0:
		return false, ""
	case len(pids) == 1 && pids[0] == fmt.Sprint(pid):
		return true, ""
	}
	return false, fmt.Sprintf("%s has %d processes itself, and cannot be divided (have the supervisor in a group of its own below it, as examples/systemd/daemontools-run.service.d has, and start it again)", t.Top, len(pids))
}

// None says whether there is no controller at all: then no group is made.
func (t *Tree) None() bool { return len(t.Lost) == len(Controllers) }

// In says whether the process is in the group of that machine.
func (v View) In(machine string) bool {
	dir, _ := v.dir()
	return strings.HasSuffix(dir, "/"+Slice+"/"+prefix+machine)
}

// Group is a guest's.
func (t *Tree) Group(machine string) string { return path.Join(t.Top, Slice, prefix+machine) }

func words(dir, file string) ([]string, error) {
	text, err := handle.ReadProc(path.Join(dir, file))
	return strings.Fields(string(text)), err
}

// hierarchy is where control groups of version 2 are mounted, and which of them:
// "34 25 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw"
// (proc_pid_mountinfo(5)).
func hierarchy(mountinfo string) (root, at string) {
	for line := range strings.Lines(mountinfo) {
		f, kind := mount(line)
		if len(f) >= 5 && len(kind) > 0 && kind[0] == "cgroup2" && !strings.HasPrefix(f[3], "/..") {
			return f[3], f[4]
		}
	}
	return "", ""
}

// old says whether the controller is mounted as one of version 1, blkio being io's name.
func old(mountinfo, controller string) bool {
	if controller == "io" {
		controller = "blkio"
	}
	for line := range strings.Lines(mountinfo) {
		if _, kind := mount(line); len(kind) > 2 && kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), controller) {
			return true
		}
	}
	return false
}

// mount takes a line of mountinfo apart, before and after its dash.
func mount(line string) (before, after []string) {
	b, a, _ := strings.Cut(line, " - ")
	return strings.Fields(b), strings.Fields(a)
}
