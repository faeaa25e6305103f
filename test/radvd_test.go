package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uml/check"
	"uml/fault"
	"uml/test/inject"
	"uml/test/lab"
)

// A guest that is told nothing makes itself an address in the prefix that radvd
// advertises, and when its settings have another one, a new address, and stops using
// the old one.
func TestRadvd(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	conf := filepath.Join(l.Dir, "radvd.conf")
	l.SetHost("radvd-conf", conf)
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64"})
	has(t, lines(t, l, fault.OK), "radvd", check.Warn, conf+" is not what the machines' settings say (try: uml-net radvd")
	l.Must("uml-net", "radvd")
	has(t, lines(t, l, fault.OK), "radvd", check.Warn, "no radvd that reads "+conf+" is running")
	l.Must("radvd", "-C", conf, "-m", "logfile", "-l", filepath.Join(l.Dir, "radvd.log"))
	has(t, lines(t, l, fault.OK), "radvd", check.OK, conf)
	m.Activate()
	m.WaitUp(0)

	const host = "fcfd:c0ff:fe00:214"
	shows := func(prefix string, deprecated bool) func() bool {
		return func() bool {
			got := m.Guest("ip -6 addr show dev vec0")
			for line := range strings.Lines(got) {
				if strings.Contains(line, prefix+host+"/64") && strings.Contains(line, " deprecated") == deprecated {
					return true
				}
			}
			return false
		}
	}
	l.Wait("the guest's own address", shows("2001:db8:1:0:", false))
	l.Wait("its answer", func() bool { return l.Run("ping", "-n", "-q", "-c1", "-W1", "2001:db8:1:0:"+host).Code == 0 })
	if route := m.Guest("ip -6 route"); !strings.Contains(route, "default via fe80::") {
		t.Errorf("the guest's routes:\n%s", route)
	}

	m.Set("ip6", "2001:db8:2::/64")
	if r := l.Run("uml-net", "radvd"); r.Code != 0 || r.Out+r.Err != "" {
		t.Errorf("exit %d, %s%s", r.Code, r.Out, r.Err)
	}
	l.Wait("the old address deprecated", shows("2001:db8:1:0:", true))
	l.Wait("the new address", shows("2001:db8:2:0:", false))
	if r := l.Run("uml-net", "radvd"); r.Code != 0 || r.Out+r.Err != "" {
		t.Errorf("again: exit %d, %s%s", r.Code, r.Out, r.Err)
	}

	m.Set("ip6", "# none")
	l.Must("uml-net", "radvd")
	l.Wait("the end of the default route", func() bool { return !strings.Contains(m.Guest("ip -6 route"), "default") })
	l.Wait("both addresses deprecated", func() bool { return shows("2001:db8:1:0:", true)() && shows("2001:db8:2:0:", true)() })
}

// Each system call of uml-net radvd fails, and it is killed at each: the file is the
// old or the new one, whole, and after the next run radvd has read the new one.
func TestRadvdFaults(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	dir := filepath.Join(l.Dir, "radvd")
	conf, program, log := filepath.Join(dir, "radvd.conf"), filepath.Join(l.Dir, "bin/radvd"), filepath.Join(l.Dir, "radvd.log")
	l.SetHost("radvd-conf", conf)
	m := l.Machine("guest", lab.Settings{})
	// A child of the program cannot be followed, so for it radvd is not installed.
	l.Must("sh", "-ec", fmt.Sprintf(`
		mkdir %s %s
		cp $(command -v radvd) %s
		mount --bind /dev/null $(command -v radvd)`, dir, filepath.Dir(program), program))
	cmd := l.Cmd(context.Background(), l.Dir, inject.Command()...)
	cmd.Stderr = os.Stderr
	host, err := inject.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })

	prefix := 0
	run := func(f failure) (r inject.Result, said string) {
		t.Helper()
		output := filepath.Join(l.Dir, "said")
		r, err := host.Run(inject.Plan{
			Dir: l.Dir, Output: output, Args: []string{filepath.Join(l.Bin, "uml-net"), "radvd"},
			Point: f.point, Errno: f.errno, List: f.point == "", Timeout: lab.Patience,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r, read(t, output)
	}
	change := func() (line string) {
		prefix++
		m.Set("ip6", fmt.Sprintf("2001:db8:0:%x::/64", prefix))
		return fmt.Sprintf("\tprefix 2001:db8:0:%x::/64 { };\n", prefix)
	}
	readings := func() int {
		text, _ := os.ReadFile(log)
		return strings.Count(string(text), "resuming normal operation")
	}
	change()
	if r, said := run(failure{}); code(r) != 0 {
		t.Fatalf("an undisturbed run: %v, said %s", r.Status, said)
	}
	l.Must(program, "-C", conf, "-m", "logfile", "-l", log, "-d", "1")
	change()
	whole, said := run(failure{})
	if code(whole) != 0 || said != "" {
		t.Fatalf("an undisturbed run: %v, said %s", whole.Status, said)
	}
	l.Wait("radvd", func() bool { return readings() == 1 })
	each(t, whole.Points, func(f failure) string {
		was, before := read(t, conf), readings()
		line := change()
		r, said := run(f)
		how := outcome(r, f)
		if how == "failed" && code(r) == 0 {
			how = "went on"
		}
		switch {
		case r.Hung, how == "failed", how == "crashed" && !ofRuntime(f.point), how == "refused" && !strings.Contains(said, "uml-net: fatal: "):
			t.Errorf("%v: %v, said %s", f, r.Status, said)
		}
		if now := read(t, conf); now != was && (strings.Count(now, line) != 1 || !strings.HasSuffix(now, "\n# END uml-net radvd\n")) {
			t.Errorf("%v: the file is\n%s", f, now)
		}
		if r, said := run(failure{}); code(r) != 0 || said != "" || strings.Count(read(t, conf), line) != 1 {
			t.Errorf("%v: then %v, said %s", f, r.Status, said)
		}
		if left := l.Must("ls", "-A", dir); left != "radvd.conf\n" {
			t.Errorf("%v: left %s", f, left)
		}
		l.Wait(fmt.Sprintf("radvd to read the file after: %v", f), func() bool { return readings() > before })
		return how
	})
}
