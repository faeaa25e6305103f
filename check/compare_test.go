package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"uml/settings"
)

// The machines are real directories, their accounts those that every Debian has.
// Nothing is sent: only the examinations and comparisons run.

type files map[string]string

func makeMachine(t *testing.T, root, name string, s files) {
	t.Helper()
	for _, d := range []string{"settings", "jail"} {
		if err := os.MkdirAll(filepath.Join(root, name, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range s {
		if !strings.Contains(file, "/") {
			file = "settings/" + file
		}
		if err := os.WriteFile(filepath.Join(root, name, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compared are the lines of comparisons alone, "MACHINE CHECK TEXT" up to the mend.
func compared(t *testing.T, root string) (all []string) {
	t.Helper()
	c := &checker{Options: Options{Machines: root}, host: &section{}, h: &settings.Host{PingTimeout: time.Second}}
	c.examine(c.listed())
	before := map[*machine]int{}
	for _, m := range c.machines {
		before[m] = len(m.lines)
	}
	c.compare()
	for _, m := range c.machines {
		for _, l := range m.lines[before[m]:] {
			text, _, _ := strings.Cut(l.Text, " (")
			all = append(all, fmt.Sprintf("%s %s %s", l.Machine, l.Check, text))
		}
	}
	return all
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b files
		want []string
	}{
		{"nothing", files{"user": "daemon", "ip4": "10.0.0.1", "ip6": "2001:db8:0:1::/64"}, files{"user": "bin", "ip4": "10.0.0.2", "ip6": "2001:db8:0:2::/64"}, nil},
		{"account", files{"user": "games"}, files{"user": "games"},
			[]string{"a user user id 5", "b user user id 5"}},
		{"address", files{"user": "daemon", "ip4": "10.0.0.1\n10.0.0.9"}, files{"user": "bin", "ip4": "10.0.0.2\n10.0.0.9"},
			[]string{"a addresses 10.0.0.9/32: b has it too", "b addresses 10.0.0.9/32: a has it too"}},
		{"block", files{"user": "daemon", "ip4": "10.0.0.1\n10.0.1.0/24"}, files{"user": "bin", "ip4": "10.0.0.2\n10.0.1.64/26"},
			[]string{"a addresses 10.0.1.0/24: b has 10.0.1.64/26, which overlaps", "b addresses 10.0.1.64/26: a has 10.0.1.0/24, which overlaps"}},
		{"prefix", files{"user": "daemon", "ip6": "2001:db8:0:1::/64\n2001:db8:1::/48"}, files{"user": "bin", "ip6": "2001:db8:1:7::/64"},
			[]string{"a addresses 2001:db8:1::/48: b has 2001:db8:1:7::/64, which overlaps", "b addresses 2001:db8:1:7::/64: a has 2001:db8:1::/48, which overlaps"}},
		{"no network", files{"user": "daemon", "ip4": "10.0.0.1", "net": "none"}, files{"user": "bin", "ip4": "10.0.0.1", "net": "none"}, nil},
		{"hardware address", files{"user": "daemon", "mac": "fe:fd:00:00:00:01", "net": "routed"}, files{"user": "bin", "mac": "fe:fd:00:00:00:01", "net": "routed"},
			[]string{"a mac hardware address fe:fd:00:00:00:01: b has it too", "b mac hardware address fe:fd:00:00:00:01: a has it too"}},
		{"TAP", files{"user": "daemon", "tap": "t0", "net": "routed"}, files{"user": "bin", "tap": "t0", "net": "routed"},
			[]string{"a tap TAP t0: b has it too", "b tap TAP t0: a has it too"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			makeMachine(t, root, "a", c.a)
			makeMachine(t, root, "b", c.b)
			if got := compared(t, root); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// A disc is a file, whatever its names.
func TestCompareDiscs(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "image")
	disc := strings.Repeat("\x00", 4096)
	if err := os.WriteFile(shared, []byte(disc), 0o644); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	makeMachine(t, root, "a", files{"user": "daemon", "jail/ubd0": disc, "ubd1": shared + " flags=r"})
	in := filepath.Join(root, "a/jail/ubd0")
	makeMachine(t, root, "b", files{"user": "bin", "jail/ubd0": disc, "ubd1": shared + " flags=r"})
	if got := compared(t, root); got != nil {
		t.Errorf("both only read it: got %q", got)
	}
	makeMachine(t, root, "b", files{"ubd2": in + " flags=r"})
	if err := os.Chown(in, 1, 1); err != nil {
		t.Fatal(err)
	}
	// b cannot own what is daemon's: it is told so before anything is compared
	if got := compared(t, root); got != nil {
		t.Errorf("a file of another user: got %q", got)
	}
	if err := os.Chown(in, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(in, 0o666); err != nil {
		t.Fatal(err)
	}
	want := []string{"a disc " + in + ": b has the same file, and not both only read it", "b disc " + in + ": a has the same file, and not both only read it"}
	if got := compared(t, root); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A mistake that many machines share is a few lines a machine, and found in time.
func TestCompareMany(t *testing.T) {
	var all []*machine
	for i := range 1000 {
		all = append(all, made(fmt.Sprintf("m%d", i)))
	}
	start := time.Now()
	overlaps(all)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
	for _, m := range all {
		if n := len(m.lines); n == 0 || n > 2*atMost {
			t.Fatalf("%s: %d lines", m.Name, n)
		}
	}
}
