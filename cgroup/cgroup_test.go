package cgroup

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/settings"
)

// A host is a directory that looks like the groups of one: files by their names.
type host struct {
	t      *testing.T
	dir    string
	mounts string
}

func newHost(t *testing.T, files map[string]string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	h.mounts = "34 25 0:28 / " + h.dir + " rw - cgroup2 cgroup2 rw\n35 25 0:29 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n"
	for name, text := range files {
		h.write(name, text)
	}
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	file := filepath.Join(h.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) delegate(group string) {
	h.t.Helper()
	if err := unix.Setxattr(filepath.Join(h.dir, group), "trusted.delegate", []byte("1"), 0); err != nil {
		h.t.Fatalf("%s: %v", h.dir, err)
	}
}

func (h *host) view(group string, systemd bool) View {
	return View{Cgroup: "1:cpu:/\n0::" + group + "\n", Mountinfo: h.mounts, PID: 7, Systemd: systemd}
}

// group are the files of a group that is not the root of all.
func group(at, have, given, procs string) map[string]string {
	return map[string]string{at + "/cgroup.controllers": have, at + "/cgroup.subtree_control": given, at + "/cgroup.procs": procs, at + "/cgroup.type": "domain\n"}
}

func merge(all ...map[string]string) map[string]string {
	m := map[string]string{}
	for _, one := range all {
		maps.Copy(m, one)
	}
	return m
}

const four = "cpuset cpu io memory pids\n"

func TestTree(t *testing.T) {
	root := map[string]string{"cgroup.controllers": four, "cgroup.subtree_control": "", "cgroup.procs": "1\n2\n"}
	for name, c := range map[string]struct {
		files     map[string]string
		delegated string
		group     string
		systemd   bool
		top       string
		lost      string // of which each reason has this
		none      string // the error
		first     bool
	}{
		"the root of all may have processes":      {files: root, group: "/", top: "/"},
		"a guest that runs":                       {files: merge(root, group("/uml/uml-web", four, "", "9\n")), group: "/uml/uml-web", top: "/"},
		"systemd's unit, not delegated":           {files: merge(root, group("/system.slice/x.service", four, "", "7\n")), group: "/system.slice/x.service", systemd: true, none: "Delegate=yes"},
		"the root is systemd's":                   {files: root, group: "/", systemd: true, none: "was not delegated"},
		"supervisors in a group below":            {files: merge(root, group("/s/x", four, "", ""), group("/s/x/supervisor", "", "", "5\n6\n7\n")), delegated: "/s/x", group: "/s/x/supervisor", systemd: true, top: "/s/x"},
		"the start is alone in its unit":          {files: merge(root, group("/s/x", four, "", "7\n")), delegated: "/s/x", group: "/s/x", systemd: true, top: "/s/x", first: true},
		"supervisors in the unit itself":          {files: merge(root, group("/s/x", four, "", "5\n6\n7\n")), delegated: "/s/x", group: "/s/x", systemd: true, top: "/s/x", lost: "has 3 processes itself"},
		"they were there first":                   {files: merge(root, group("/s/x", four, "memory pids cpu io", "5\n6\n7\n")), delegated: "/s/x", group: "/s/x", systemd: true, top: "/s/x"},
		"another's group, without systemd":        {files: merge(root, group("/openrc.svscan", four, "", "5\n7\n")), group: "/openrc.svscan", top: "/openrc.svscan", lost: "has 2 processes itself"},
		"a container's":                           {files: merge(root, map[string]string{"cgroup.type": "domain\n"}), group: "/", top: "/", lost: "has 2 processes itself"},
		"only version 1, and what has no version": {files: map[string]string{"cgroup.controllers": "hugetlb\n", "cgroup.subtree_control": ""}, group: "/", top: "/", lost: "controller"},
		"outside": {files: root, group: "/../x", none: "outside"},
	} {
		h := newHost(t, c.files)
		if c.delegated != "" {
			h.delegate(c.delegated)
		}
		got, err := h.view(c.group, c.systemd).Tree()
		if c.none != "" {
			if err == nil || !strings.Contains(err.Error(), c.none) {
				t.Errorf("%s: got %v, want an error about %q", name, err, c.none)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := filepath.Join(h.dir, c.top); got.Top != want || got.first != c.first || got.None() != (c.lost != "") {
			t.Errorf("%s: got %+v, want %s", name, got, want)
		}
		for _, why := range got.Lost {
			if !strings.Contains(why, c.lost) {
				t.Errorf("%s: lost: %s", name, why)
			}
		}
	}
	if _, err := (View{Cgroup: "0::/", Mountinfo: "1 1 0:1 / / rw - ext4 x rw\n"}).Tree(); err == nil || !strings.Contains(err.Error(), "no control groups of version 2") {
		t.Errorf("not mounted: %v", err)
	}
}

// Of a host that has some controllers in version 1, the rest is had.
func TestTreeHybrid(t *testing.T) {
	got, err := newHost(t, map[string]string{"cgroup.controllers": "cpu pids\n", "cgroup.subtree_control": "cpu\n"}).view("/", false).Tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Lost) != 2 || !strings.Contains(got.Lost["io"], "in version 1") || !strings.Contains(got.Lost["memory"], "does not have") {
		t.Errorf("got %v", got.Lost)
	}
}

// What a group is set to, from nothing and from what another start has left in it.
func TestEnter(t *testing.T) {
	files := map[string]string{"cgroup.controllers": four, "cgroup.subtree_control": "", "uml/cgroup.subtree_control": "cpu\n"}
	in := "uml/uml-web/"
	for _, f := range []string{"cgroup.procs", "cpu.weight", "cpu.max", "io.weight", "memory.max", "memory.swap.max", "memory.oom.group", "pids.max"} {
		files[in+f] = "?"
	}
	files[in+"io.max"] = "8:0 rbps=1 wbps=max riops=max wiops=max\n"
	h := newHost(t, files)
	tree, err := h.view("/", false).Tree()
	if err != nil {
		t.Fatal(err)
	}
	m := &settings.Machine{Name: "web", CPU: settings.CPUShare{Weight: 100, Limit: 150}, IO: settings.IOShare{Weight: 200}, Mem: 64 << 20, Overhead: 80 << 20, PIDs: 99}
	lost, err := tree.Enter(&Share{Machine: m, Unswapped: true})
	if err != nil || len(lost) != 0 {
		t.Fatalf("got %v, %v", lost, err)
	}
	for file, want := range map[string]string{
		"cgroup.subtree_control": "+pids", "uml/cgroup.subtree_control": "+pids", // the last of four
		in + "cgroup.procs": "0", in + "cpu.weight": "100", in + "cpu.max": "150000 100000", in + "io.weight": "default 200",
		in + "io.max": "8:0 rbps=max wbps=max riops=max wiops=max", in + "memory.max": "150994944", in + "memory.swap.max": "0", in + "pids.max": "99",
	} {
		text, err := os.ReadFile(filepath.Join(h.dir, file))
		// A file of the kernel's takes each write as a command: here the last lies over the others.
		if !strings.HasPrefix(string(text), want) || err != nil {
			t.Errorf("%s: got %q, %v, want %q", file, text, err, want)
		}
	}
	// A file that the kernel must have is not there: that is lost, the rest stands.
	if err := os.Remove(filepath.Join(h.dir, in, "pids.max")); err != nil {
		t.Fatal(err)
	}
	if lost, err := tree.Enter(&Share{Machine: m}); err != nil || len(lost) != 1 || lost[0].Controller != "pids" {
		t.Errorf("got %v, %v", lost, err)
	}
}

func TestValues(t *testing.T) {
	m := &settings.Machine{CPU: settings.CPUShare{Weight: 100}, IO: settings.IOShare{Weight: 10000, Write: 1 << 20, Reads: 5}}
	got := ""
	for _, v := range (&Share{Machine: m}).values([]Device{"8:0", "253:1"}, "8:0 rbps=1\n7:7 rbps=1\n") {
		got += v.String() + "\n"
	}
	want := `cpu.weight 100
cpu.max max 100000
io.weight default 10000
io.bfq.weight default 1000
io.max 8:0 rbps=max wbps=1048576 riops=5 wiops=max
io.max 253:1 rbps=max wbps=1048576 riops=5 wiops=max
io.max 7:7 rbps=max wbps=max riops=max wiops=max
memory.max max
memory.swap.max max
memory.oom.group 1
pids.max max
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Whole discs of partitions, of what is stacked, and of filesystems that have none.
func TestDevices(t *testing.T) {
	sys := t.TempDir()
	for name, text := range map[string]string{
		"devices/sda/dev": "8:0\n", "devices/sda/queue/scheduler": "none [bfq]\n", "devices/sda/sda1/dev": "8:1\n", "devices/sda/sda1/partition": "1\n",
		"devices/sdb/dev": "8:16\n", "devices/sdb/queue/scheduler": "[none] bfq\n", "top/io.cost.qos": "8:16 enable=0 ctrl=auto\n",
		"devices/dm-0/dev": "253:0\n", "devices/dm-0/queue/scheduler": "none\n",
		"devices/dm-1/dev": "253:1\n", "devices/dm-9/dev": "253:9\n", "devices/md0/dev": "9:0\n",
	} {
		h := &host{t: t, dir: sys}
		h.write(name, text)
	}
	for link, to := range map[string]string{
		"dev/block/8:0": "sda", "dev/block/8:1": "sda/sda1", "dev/block/8:16": "sdb",
		"dev/block/253:0": "dm-0", "dev/block/253:1": "dm-1", "dev/block/253:9": "dm-9", "dev/block/9:0": "md0",
		"devices/dm-0/slaves/sda1": "sda/sda1", "devices/dm-1/slaves/sda1": "sda/sda1", "devices/dm-1/slaves/sdb": "sdb",
		"devices/md0/slaves/dm-1": "dm-1", "devices/md0/slaves/dm-9": "dm-9",
	} {
		link = filepath.Join(sys, link)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(sys+"/devices/"+to, link)); err != nil {
			t.Fatal(err)
		}
	}
	all, other := devices(sys, []uint64{unix.Mkdev(8, 1), unix.Mkdev(253, 0), unix.Mkdev(8, 0), unix.Mkdev(0, 40)})
	if len(all) != 2 || all[0] != "8:0" || all[1] != "253:0" || other != 1 {
		t.Errorf("got %v, %d", all, other)
	}
	for d, want := range map[Device][]Device{
		"8:0":   nil,
		"8:16":  {"8:16"},
		"253:0": nil,               // on a partition of sda
		"253:1": {"8:16"},          // on sda's partition and sdb
		"9:0":   {"8:16", "253:9"}, // on 253:1, and one whose discs are not known
	} {
		if not := weightless(sys, sys+"/top", d); !slices.Equal(not, want) {
			t.Errorf("%s: weights have no effect on %v, not on %v", d, not, want)
		}
	}
}

// Whatever a process's groups are, what is looked at lies below the mount.
func FuzzDir(f *testing.F) {
	f.Add("0::/a/b\n", "/")
	f.Add("0::/../../a\n", "/..")
	f.Fuzz(func(t *testing.T, cgroup, root string) {
		dir, _ := View{Cgroup: cgroup, Mountinfo: "34 25 0:28 " + root + " /groups rw - cgroup2 x rw\n"}.dir()
		if dir != "" && dir != "/groups" && !strings.HasPrefix(dir, "/groups/") {
			t.Errorf("got %q", dir)
		}
	})
}

// The groups of machines that are gone, and no other directory.
func TestCollect(t *testing.T) {
	h := newHost(t, nil)
	for _, g := range []string{"uml/uml-gone", "uml/uml-web", "uml/other", "system.slice/uml-gone", "a/b/uml/uml-gone", "uml/uml-runs"} {
		if err := os.MkdirAll(filepath.Join(h.dir, g), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	left := func(m string) bool { return m != "web" }
	for _, g := range []string{"uml/uml-gone", "uml/uml-web", "a/b/uml/uml-gone"} {
		h.write(g+"/cgroup.events", "populated 0\nfrozen 0\n")
	}
	h.write("uml/uml-runs/cgroup.events", "populated 1\nfrozen 0\n")
	got, err := collect(h.dir, left, true)
	if want := []string{h.dir + "/a/b/uml/uml-gone", h.dir + "/uml/uml-gone"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := collect(h.dir, left, false); !errors.Is(err, unix.ENOTEMPTY) { // a directory with files is none of the kernel's groups
		t.Errorf("got %v", err)
	}
}

// A part of the hierarchy may be another account's, who keeps nothing of ours from being
// found by how deep he makes it.
func TestCollectDeep(t *testing.T) {
	h := newHost(t, map[string]string{"uml/uml-gone/cgroup.events": "populated 0\n"})
	at, err := unix.Open(h.dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := "a" + strings.Repeat("x", 254) // before ours
	for range 20 {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if at = next; err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(at)
	got, err := collect(h.dir, func(string) bool { return true }, true)
	if want := []string{h.dir + "/uml/uml-gone"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
