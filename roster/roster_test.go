package roster

import (
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
	for text, want := range map[string]process{
		"Name:\tuml-run:retry\nState:\tS (sleeping)\nPid:\t7\nUid:\t0\t0\t0\t0\nVmRSS:\t  12 kB\n": {pid: 7, name: "uml-run:retry", resident: 12 << 10},
		"Name:\tuml-run:retry\nState:\tR (running)\nPid:\t7\nUid:\t9\t9\t9\t9\n":                   {pid: 7, name: "uml-run:retry", user: 9},
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
	r, err := NewRound(root)
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{filepath.Join(root, "there"), filepath.Join(root, "gone")}
	if all, err := r.Look(dirs, true); len(all) != 1 || err != nil {
		t.Errorf("all: got %d, %v", len(all), err)
	}
	if all, err := r.Look(dirs, false); len(all) != 1 || err == nil {
		t.Errorf("named: got %d, %v", len(all), err)
	}
}
