package roster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestNatural(t *testing.T) {
	names := []string{"b", "a10", "a9", "a", "a09b", "10", "9", "a9b"}
	slices.SortFunc(names, Natural)
	if got, want := strings.Join(names, " "), "9 10 a a9 a9b a09b a10 b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1000: "1.0K", 1 << 10: "1K", 1536: "1.5K", 64 << 20: "64M", 1000 << 20: "1.0G", 3 << 40: "3T", 1 << 62: "4194304T"} {
		if got := Size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Hour: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01", 25 * time.Hour: "1d01", 200 * 24 * time.Hour: "200d"} {
		if got := span(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// What runs in a jail can give itself any name, that of a start too.
func TestParse(t *testing.T) {
	for text, want := range map[string]proc{
		"Name:\tuml-run:retry\nState:\tS (sleeping)\nPid:\t7\nUid:\t0\t0\t0\t0\nVmRSS:\t  12 kB\n": {pid: 7, name: "uml-run:retry", state: 'S', resident: 12 << 10},
		"Name:\tuml-run:retry\nState:\tR (running)\nPid:\t7\nUid:\t9\t9\t9\t9\n":                   {pid: 7, name: "uml-run:retry", state: 'R', user: 9},
		"Name:\tlinux\nState:\tZ (zombie)\nPid:\t7\nUid:\t9\t9\t9\t9\n":                            {},
		"": {},
	} {
		if got := parse([]byte(text)); got != want {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

// A table on a terminal fits it; elsewhere nothing is lost.
func TestTable(t *testing.T) {
	at := time.Now()
	machines := []*Machine{
		{Name: "a-machine-with-a-name-as-long-as-they-come", State: Failing, Why: strings.Repeat("long ", 50) + "end", Since: &at, Addresses: []string{"2001:db8:1111:2222:3333:4444:5555:6666", "x"}},
		{Name: "b", State: Up, PID: 4194304, Promised: 1 << 30, Resident: 1 << 29, Discs: []Disc{{Size: 1 << 30, Allocated: 1 << 20}}, Faults: []string{"bad"}},
	}
	lines := Table(machines, 80)
	for _, l := range lines {
		if utf8.RuneCountInString(l) > 80 {
			t.Errorf("too long: %q", l)
		}
	}
	if len(lines) != 5 || !strings.HasPrefix(lines[2], "  failing since ") || lines[4] != "  fault: bad" {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	whole := strings.Join(Table(machines, 0), "\n")
	if strings.Count(whole, "\n") != 2 || !strings.Contains(whole, "long end)") || !strings.Contains(whole, machines[0].Name) || !strings.Contains(whole, "6666 +1") {
		t.Errorf("got\n%s", whole)
	}
}

// One that is gone when its turn comes is no fault if nobody named it.
func TestGone(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "there", "settings"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := NewRound(root, root)
	dirs := []string{filepath.Join(root, "there"), filepath.Join(root, "gone")}
	if all, err := r.Look(dirs, true); len(all) != 1 || err != nil {
		t.Errorf("all: got %d, %v", len(all), err)
	}
	if all, err := r.Look(dirs, false); len(all) != 1 || err == nil {
		t.Errorf("named: got %d, %v", len(all), err)
	}
}

// More machines than are looked at together come in the order that was asked for,
// each with its discs, wherever a link leads to it, and however many names its
// guest's user has put beside them.
func TestLook(t *testing.T) {
	at := t.TempDir()
	root := filepath.Join(at, "machines")
	const n = 3 * atOnce
	var dirs, want []string
	for i := range n {
		jail := filepath.Join(root, fmt.Sprint("m", i), "jail")
		err := errors.Join(os.MkdirAll(filepath.Join(jail, "d"), 0o755), os.Mkdir(filepath.Join(jail, "../settings"), 0o755),
			os.WriteFile(filepath.Join(jail, "ubd0"), make([]byte, i), 0o644),
			os.WriteFile(filepath.Join(jail, "d/disc"), make([]byte, 7), 0o644),
			os.WriteFile(filepath.Join(jail, "../settings/ubd3"), []byte("d/disc"), 0o644))
		for k := 0; i%50 == 0 && k < 100; k++ {
			err = errors.Join(err, os.WriteFile(filepath.Join(jail, fmt.Sprint("more", k)), nil, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
		dirs, want = append(dirs, filepath.Dir(jail)), append(want, fmt.Sprintf("m%d [{ubd0 ubd0 %d} {ubd3 d/disc 7}]", i, i))
	}
	if err := os.Symlink(root, filepath.Join(at, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dirs[1], filepath.Join(root, "linked")); err != nil {
		t.Fatal(err)
	}
	dirs = append(dirs, filepath.Join(at, "link/m2"), filepath.Join(root, "linked"), root+"/m3/")
	want = append(want, want[2], want[1], want[3])
	for _, machines := range []string{root, root + "/", filepath.Join(at, "link"), filepath.Join(at, "none")} {
		all, err := NewRound(machines, at).Look(dirs, false)
		if err != nil || len(all) != len(want) {
			t.Fatalf("%s: got %d, %v", machines, len(all), err)
		}
		for i, m := range all {
			var discs []string
			for _, d := range m.Discs {
				discs = append(discs, fmt.Sprintf("{%s %s %d}", d.Device, d.File, d.Size))
			}
			if got := fmt.Sprint(m.Name, " ", discs); got != want[i] {
				t.Errorf("%s: got %s, want %s", machines, got, want[i])
			}
		}
	}
}
