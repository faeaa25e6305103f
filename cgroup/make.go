package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// sliceWeight is what all guests together weigh beside what else is in the same group,
// where each process of the root group counts as a group of 100: guests are what the
// host is for. It is given once: an administrator's other one stays.
const sliceWeight = 1000

// A Lost is a part of a guest's shares that cannot be had.
type Lost struct {
	Controller string
	Why        string
}

// Plan is what Enter would do, a line each.
func (t *Tree) Plan(s *Share) (lines []string) {
	group := t.Group(s.Machine.Name)
	was, _ := handle.ReadProc(path.Join(group, "io.max"))
	for _, v := range s.values(s.limited(), string(was)) {
		if t.Lost[v.controller] == "" {
			lines = append(lines, group+": "+v.String())
		}
	}
	return append(lines, group+": enter")
}

// Missing is what is known to be lost before anything is made.
func (t *Tree) Missing(s *Share) (all []Lost) {
	for _, c := range slices.Sorted(maps.Keys(t.Lost)) {
		all = append(all, Lost{c, t.Lost[c]})
	}
	if t.Lost["io"] != "" || !s.Machine.IO.Limited() {
		return all
	}
	if _, other := devices("/sys", s.Files); other > 0 {
		all = append(all, Lost{"io", fmt.Sprintf("limits do not hold for %d of its discs' files, whose filesystem is on no device of its own (tmpfs, btrfs, a network's)", other)})
	}
	return all
}

// limited are the devices that get limits.
func (s *Share) limited() (on []Device) {
	if s.Machine.IO.Limited() {
		on, _ = devices("/sys", s.Files)
	}
	return on
}

// Weightless names the discs on which the share's weight has no effect.
func (t *Tree) Weightless(s *Share) (not []Device) {
	on, _ := devices("/sys", s.Files)
	at := t.Top
	for {
		if _, err := os.Lstat(path.Join(at, "io.cost.qos")); err == nil || at == "/" {
			break
		}
		at = path.Dir(at)
	}
	for _, d := range on {
		not = append(not, weightless("/sys", at, d)...)
	}
	slices.Sort(not)
	return slices.Compact(not)
}

// Enter makes the guest's group what the share says and moves the process into it, with
// all its threads. What could not be done, beside what is Missing, is lost, and the rest
// stands; an error means that the process is where it was.
func (t *Tree) Enter(s *Share) (lost []Lost, err error) {
	slice, group := path.Join(t.Top, Slice), t.Group(s.Machine.Name)
	made, err := mkdir(slice)
	if err == nil {
		_, err = mkdir(group)
	}
	if err == nil && t.first {
		err = write(group, "cgroup.procs", "0")
	}
	if err != nil {
		return lost, err
	}
	not := t.give(t.Top)
	if made {
		// Of no matter if they fail.
		write(slice, "cpu.weight", fmt.Sprint(sliceWeight))
		write(slice, "io.weight", fmt.Sprintf("default %d", sliceWeight))
		write(slice, "io.bfq.weight", fmt.Sprintf("default %d", bfqWeight(sliceWeight)))
	}
	maps.Copy(not, t.give(slice))
	for _, c := range slices.Sorted(maps.Keys(not)) {
		lost = append(lost, Lost{c, not[c].Error()})
	}
	was := []byte(nil)
	if t.Lost["io"] == "" {
		was, _ = handle.ReadProc(path.Join(group, "io.max"))
	}
	for _, v := range s.values(s.limited(), string(was)) {
		if t.Lost[v.controller] != "" || not[v.controller] != nil {
			continue
		}
		err := write(group, v.file, v.text)
		if err != nil && !(v.maybe && errors.Is(err, unix.ENOENT)) {
			lost = append(lost, Lost{v.controller, err.Error()})
		}
	}
	if t.first {
		return lost, nil
	}
	return lost, write(group, "cgroup.procs", "0")
}

// give lets the groups in dir have all controllers that Top can give, each by itself:
// one that cannot be given takes no other with it.
func (t *Tree) give(dir string) map[string]error {
	not := map[string]error{}
	given, err := words(dir, "cgroup.subtree_control")
	for _, c := range Controllers {
		if t.Lost[c] != "" || slices.Contains(given, c) {
			continue
		}
		if err == nil {
			err = write(dir, "cgroup.subtree_control", "+"+c)
		}
		if err != nil {
			not[c], err = err, nil
		}
	}
	return not
}

func mkdir(dir string) (made bool, err error) {
	err = unix.Mkdir(dir, 0o755)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "make control group", Path: dir, Err: err}
	}
	return true, nil
}

// write is one system call for the text: the kernel takes each as a whole command.
func write(dir, file, text string) error {
	name := path.Join(dir, file)
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("write %q to %s: %w", strings.TrimSpace(text), name, err)
	}
	return nil
}
