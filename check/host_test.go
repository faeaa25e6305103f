package check

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"uml/runscript"
	"uml/settings"
)

// made is a machine with one address, the same for all.
func made(name string) *machine {
	m := &settings.Machine{Name: name, Mem: 64 << 20, IP4: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}
	return &machine{&runscript.Examination{Name: name, Machine: m}, &section{machine: name}}
}

func TestListed(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"m10", "m2", ".git", "lost+found", "a b"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "README"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := &checker{Options: Options{Machines: root}, host: &section{}}
	if got, want := c.listed(), []string{root + "/m2", root + "/m10"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	warned := 0
	for _, l := range c.host.lines {
		if l.Status == Warn {
			warned++
		}
	}
	if warned != 4 || len(c.host.errs) != 0 {
		t.Errorf("%d warnings, want 4: %v", warned, c.host.lines)
	}
	c = &checker{Options: Options{Machines: root + "/none"}, host: &section{}}
	c.listed()
	if len(c.host.lines) != 1 || !strings.Contains(c.host.lines[0].Text, "(try: install -d -m 755 ") {
		t.Errorf("no root: got %v", c.host.lines)
	}
}

// A saved firewall that would not load is warned of, with all that is amiss.
func TestSavedRules(t *testing.T) {
	dir := t.TempDir()
	files := []string{dir + "/rules.v4", dir + "/rules.v6", dir + "/nftables.conf", dir + "/none"}
	for _, f := range files[:3] {
		if err := os.WriteFile(f, []byte("*raw\n:UML-GUESTS - [0:0]\nCOMMIT\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	warned := func(setsFirst string) (n int) {
		c := &checker{host: &section{}}
		c.saved(files, setsFirst)
		for _, l := range c.host.lines {
			if l.Status == Warn && strings.Contains(l.Text, "is not loaded at boot") {
				n++
			}
		}
		return n
	}
	if without, with := warned(dir+"/05-uml"), warned(files[0]); without != 3 || with != 1 {
		t.Errorf("%d warnings without the plugin and %d with it, want 3 and 1", without, with)
	}
	if err := os.WriteFile(files[0], []byte("*filter\nCOMMIT\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := warned(dir + "/05-uml"); n != 2 {
		t.Errorf("%d warnings, want 2", n)
	}
}

func TestRootsAlone(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		uid  int
		ok   bool
	}{{0o755, 0, true}, {0o777 | os.ModeSticky, 0, true}, {0o777, 0, false}, {0o775, 0, false}, {0o755, 1, false}} {
		dir := filepath.Join(t.TempDir(), "x")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, c.uid, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := rootsAlone(dir); (err == nil) != c.ok {
			t.Errorf("mode %v of %d: got %v", c.mode, c.uid, err)
		}
	}
}

func TestMemory(t *testing.T) {
	large, locked := made("large"), made("locked")
	large.Machine.Mem = 1 << 50
	locked.Machine.Mem, locked.Machine.Lock = 1<<50, true
	for _, c := range []struct {
		machines   []*machine
		overcommit float64
		want       []string
	}{
		{[]*machine{made("small")}, 0, []string{"ok 76M promised to 1 machines (mem and 12M each), of "}},
		{[]*machine{made("small"), large}, 0, []string{"warn guests will be swapped out or killed"}},
		{[]*machine{made("small"), large}, 1, []string{"warn more than HOST/overcommit lets run at once"}},
		{[]*machine{made("small"), large}, 1e9, []string{"ok "}},
		{[]*machine{locked}, 1e9, []string{"ok ", "warn must not be swapped out: more than can run at once"}},
	} {
		k := &checker{host: &section{}, machines: c.machines, h: &settings.Host{Dir: "HOST", Overcommit: c.overcommit}}
		k.memory()
		for i, want := range c.want {
			status, text, _ := strings.Cut(want, " ")
			if len(k.host.lines) != len(c.want) || k.host.lines[i].Status != status || !strings.Contains(k.host.lines[i].Text, text) {
				t.Errorf("overcommit %v: got %v, want %q", c.overcommit, k.host.lines, c.want)
			}
		}
	}
}

func TestNamesOf(t *testing.T) {
	got := namesOf("root:x:0:0:::\ntoor:x:0:0:::\nbad\nx:x:y:0:::\n# c:x:1:1:::\n+\nbin:x:2:2:::/bin/sh\n")
	want := map[int][]string{0: {"root", "toor"}, 1: {"# c"}, 2: {"bin"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The kernel that the tests run on has all that is asked for.
func TestKernel(t *testing.T) {
	c := &checker{host: &section{}}
	c.kernel()
	if len(c.host.errs) > 0 {
		t.Errorf("got %v", c.host.lines)
	}
}

// A line is one account, and none of it makes another of a second line.
func FuzzNamesOf(f *testing.F) {
	for _, s := range []string{"root:x:0:0:::", "+::::::", "# bin:x:2:2:::/bin/sh", "a:x:4294967295:::::", "toor:x:0:0:::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, passwd string) {
		names := namesOf(strings.TrimSuffix(passwd, "\n") + "\nroot:x:0:0:::\n")
		if !slices.Contains(names[0], "root") {
			t.Errorf("%q hides root: got %v", passwd, names)
		}
		for uid, all := range names {
			for i, n := range all {
				if strings.Contains(n, ":") || slices.Contains(all[:i], n) {
					t.Errorf("%q: got %q of %d", passwd, all, uid)
				}
			}
		}
	})
}
