package test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/swap"
	"uml/test/lab"
)

// What a start has left of itself, and what it has become.

// left is the host as a failed start may find and leave it.
type left struct {
	files     map[string]string // of the machine, by path
	claims    []string          // routes and published addresses
	mounts    string
	processes []int
}

func (v *victim) left() left {
	return left{
		files:     v.files(),
		claims:    v.net.claims(),
		mounts:    mountinfo(v.l.PID),
		processes: v.others(),
	}
}

func mountinfo(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// others are the host's processes but strays, which a start may end.
func (v *victim) others() []int {
	strays := v.strays()
	return slices.DeleteFunc(v.l.Processes(func(s lab.Status) bool { return s["State"] != "" }),
		func(pid int) bool { return slices.Contains(strays, pid) })
}

// files: each with all that can be told of it; of a directory its names are below.
func (v *victim) files() map[string]string {
	all := map[string]string{}
	filepath.WalkDir(v.m.Dir, func(name string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(name, &st)
		}
		rel, _ := filepath.Rel(v.m.Dir, name)
		all[rel] = fmt.Sprintf("mode %o, owner %d:%d, %v", st.Mode, st.Uid, st.Gid, err)
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			all[rel] += fmt.Sprintf(", inode %d, %d names", st.Ino, st.Nlink)
			if rel != "lock" { // in which a start leaves what it came to
				all[rel] += fmt.Sprintf(", %d bytes, changed %v %v", st.Size, st.Mtim, st.Ctim)
			}
		}
		return nil
	})
	return all
}

// judge compares. A start that was killed could take nothing back: its routes
// lead to a TAP that nobody has open, so the host answers for none of them
// (ignore_routes_with_linkdown), and the next start begins by taking them away.
func (v *victim) judge(t *testing.T, f failure, before left, killed bool) {
	t.Helper()
	v.l.Wait(f.String()+": its processes to be gone", func() bool {
		return !slices.ContainsFunc(v.others(), func(pid int) bool { return !slices.Contains(before.processes, pid) })
	})
	after := v.left()
	if after.mounts != before.mounts {
		t.Errorf("%v: mounts:\n%s", f, difference(before.mounts, after.mounts))
	}
	for _, c := range after.claims {
		dead := killed && (strings.HasSuffix(c, " linkdown") || strings.HasPrefix(c, "published"))
		if !dead && !slices.Contains(before.claims, c) {
			t.Errorf("%v: left a claim: %s", f, c)
		}
	}
	for name, is := range after.files {
		if was := before.files[name]; is != was && !v.mayLeave(name, was, killed) {
			t.Errorf("%v: %s is %s; was %s", f, name, is, was)
		}
	}
	for name, was := range before.files {
		stale := strings.HasPrefix(name, "jail/uml/guest")
		if _, there := after.files[name]; !there && !stale {
			t.Errorf("%v: %s is gone, was %s", f, name, was)
		}
	}
	if len(v.strays()) == 0 {
		v.unlocked(t, f)
	}
}

// mayLeave: besides the lock a whole swap, and of a start that was killed what the
// next one makes anew or uses.
func (v *victim) mayLeave(name, was string, killed bool) bool {
	switch name {
	case "lock":
		return was == ""
	case "jail/swap":
		return v.validSwap()
	case "jail/.swap.new", "jail/uml":
		return killed && was == ""
	}
	return false
}

func (v *victim) validSwap() bool {
	name := filepath.Join(v.m.Jail, "swap")
	var st unix.Stat_t
	page, err := os.ReadFile(name)
	return err == nil && unix.Lstat(name, &st) == nil && len(page) >= swap.PageSize &&
		swap.Valid(page[:swap.PageSize], int64(len(page))) && int(st.Uid) == v.m.UID && st.Mode == unix.S_IFREG|0o600
}

// unlocked sees that no descriptor with a lock has outlived the start.
func (v *victim) unlocked(t *testing.T, f failure) {
	t.Helper()
	for _, name := range []string{"lock", "jail/ubd0", "jail/swap"} {
		file, err := os.Open(filepath.Join(v.m.Dir, name))
		if err != nil {
			continue
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Errorf("%v: lock of %s: %v", f, name, err)
		}
		file.Close()
	}
}

// portrait is all that a kernel has from its start, at its first instruction: a
// start that goes on in spite of a fault must give no more and no less.
func portrait(l *lab.Lab, pid int) string {
	var all strings.Builder
	at := func(name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
	keep := func(line string, names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(line, n) })
	}
	text := func(name string) string {
		b, err := os.ReadFile(at(name))
		if err != nil {
			return err.Error()
		}
		return strings.ReplaceAll(string(b), "\x00", " ")
	}
	for line := range strings.Lines(text("status")) {
		if keep(line, "Name", "Umask", "Uid", "Gid", "Groups", "Threads", "SigBlk", "SigIgn", "SigCgt", "Cap", "NoNewPrivs", "Seccomp:") {
			all.WriteString(line)
		}
	}
	for _, name := range []string{"limits", "personality", "cmdline", "environ"} {
		fmt.Fprintln(&all, name, text(name))
	}
	fmt.Fprintln(&all, "nice", strings.Fields(text("stat"))[18])
	for line := range strings.Lines(text("mountinfo")) {
		fields := strings.Fields(line)
		fmt.Fprintln(&all, "mount", fields[4:])
	}
	for _, name := range []string{"exe", "root", "cwd"} {
		to, err := os.Readlink(at(name))
		fmt.Fprintln(&all, name, to, err)
	}
	for _, name := range []string{"mnt", "net", "ipc", "uts", "pid", "user", "cgroup"} {
		ours, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", l.PID, name))
		its, err2 := os.Readlink(at("ns/" + name))
		fmt.Fprintln(&all, "namespace", name, ours == its, err1, err2)
	}
	fds, err := os.ReadDir(at("fd"))
	fmt.Fprintln(&all, "descriptors", len(fds), err)
	for _, fd := range fds {
		to, err := os.Readlink(at("fd/" + fd.Name()))
		flags, _, _ := strings.Cut(text("fdinfo/"+fd.Name()), "mnt_id")
		kind, _, _ := strings.Cut(filepath.Base(to), "[") // not a socket's number
		fmt.Fprintln(&all, "descriptor", kind, strings.Fields(flags)[3], err)
	}
	lines := strings.SplitAfter(all.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
