package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hierarchyOf makes control groups and the line by which they are mounted.
func hierarchyOf(t *testing.T, limits map[string]string) (dir, mountinfo string) {
	t.Helper()
	dir = t.TempDir()
	for group, limit := range limits {
		in := filepath.Join(dir, group)
		if err := os.MkdirAll(in, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(in, "memory.swap.max"), []byte(limit+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, "22 1 0:20 / /proc rw - proc proc rw\n34 25 0:28 / " + dir + " rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
}

func TestUnswapped(t *testing.T) {
	dir, mounts := hierarchyOf(t, map[string]string{"a": "0", "a/b": "max", "c": "max", "c/d": "4096", "e/f": "0"})
	for cgroup, want := range map[string]string{
		"0::/a\n":                "/a",
		"4:memory:/e\n0::/a/b\n": "/a", // a limit above holds below
		"0::/a/b/none":           "/a",
		"0::/c/d":                "",
		"0::/e":                  "", // one below does not hold here
		"0::/e/f":                "/e/f",
		"0::/":                   "",
		"0::/../a":               "", // outside of what this process sees
		"4:memory:/a":            "", // another version's
		"":                       "",
	} {
		if want != "" {
			want = dir + want
		}
		if got, err := (View{Cgroup: cgroup, Mountinfo: mounts}).Unswapped(); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", cgroup, got, err, want)
		}
	}
	// A container may see a part only.
	part := strings.Replace(mounts, "0:28 / ", "0:28 /x/y ", 1)
	for cgroup, want := range map[string]string{"0::/x/y/a/b": dir + "/a", "0::/x/yy/a": "", "0::/a": ""} {
		if got, err := (View{Cgroup: cgroup, Mountinfo: part}).Unswapped(); got != want || err != nil {
			t.Errorf("a part, %q: got %q, %v, want %q", cgroup, got, err, want)
		}
	}
	for _, none := range []string{"", "x - cgroup2", strings.Replace(mounts, "cgroup2", "cgroup", 2)} {
		if got, err := (View{Cgroup: "0::/a", Mountinfo: none}).Unswapped(); got != "" || err != nil {
			t.Errorf("not mounted: got %q, %v", got, err)
		}
	}
}

// Whatever stands there, no file outside of the control groups is looked at.
func FuzzUnswapped(f *testing.F) {
	f.Add("0::/a/b\n", "/", "a b")
	f.Add("0::/../../a\n", "/..", "")
	f.Fuzz(func(t *testing.T, cgroup, root, more string) {
		dir, _ := hierarchyOf(t, map[string]string{"../out": "0"})
		got, err := View{Cgroup: cgroup, Mountinfo: "34 25 0:28 " + root + " " + dir + " rw - cgroup2 " + more}.Unswapped()
		if got != "" || err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
