package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// example puts the files of docs/supervisors.md into a machine directory, with our
// binaries in place of installed ones.
func example(t *testing.T, l *lab.Lab, m *lab.Machine, name string) {
	t.Helper()
	l.Must("sh", "-ec", `rm $2/run; cp -r $1/. $2/
		mkdir -p $2/log/main; chown umllog $2/log/main
		find $2 -maxdepth 2 -type f \( -name run -o -path '*/control/*' \) -exec sed -i "s,/usr/local/sbin,$3," {} +`,
		"sh", abs(t, "../examples/"+name), m.Dir, l.Bin)
}

// logged is what the machine's log holds.
func logged(m *lab.Machine) string {
	text, _ := os.ReadFile(filepath.Join(m.Dir, "log/main/current"))
	return string(text)
}

// The examples, each started by its supervisor: log, a clean stop by uml-ctl and by
// the supervisor's own means, and a fault that lasts.
func TestSupervisors(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Account("umllog")
	for _, c := range []struct {
		name, address, start string
		own                  string // the supervisor's own stop
		leaves               bool   // which leaves the guest to uml-ctl
		gives                string // what says that it was given up
	}{
		{"runit", "192.0.2.21", "runsvdir $1", "sv -w 120 down $2", false, "down:"},
		{"s6", "192.0.2.22", "s6-svscan $1", "s6-svc -d $2", true, "down (exitcode 100)"},
	} {
		m := l.Machine(c.name, lab.Settings{"ip4": c.address})
		example(t, l, m, c.name)
		into := filepath.Join(l.Dir, "of-"+c.name)
		do := func(args ...string) string {
			return ctl(t, l, append([]string{"--service", into}, args...)...)
		}
		l.Must("sh", "-ec", "mkdir $1; "+c.start+" </dev/null >/dev/null 2>&1 &", "sh", into)
		if c.name == "s6" { // which looks only when told
			l.Wait("s6-svscan", func() bool { return l.Run("test", "-p", into+"/.s6-svscan/control").Code == 0 })
		}
		do("activate", c.name)
		l.Wait(c.name+"'s log", func() bool { return strings.Contains(logged(m), "guest up") })
		l.WaitPing(c.address)

		l.Must("sh", "-c", c.own, "sh", into, m.Dir)
		if c.leaves {
			if !l.Ping(c.address) {
				t.Errorf("%s: it does not leave the guest alone", c.name)
			}
			do("down", c.name) // which a stop then waits for
		} else if !strings.Contains(logged(m), "reboot: System halted") {
			t.Errorf("%s: its own stop is not clean:\n%s", c.name, logged(m))
		}
		says(t, do("stop", c.name, "--timeout", "2m"), c.name+": clean (", c.name+": was down\n")
		if !clean(l, m) {
			t.Errorf("%s: the disc is not clean", c.name)
		}

		m.Set("mem", "much")
		do("up", c.name)
		status := map[string]string{"runit": "sv status " + m.Dir, "s6": "s6-svstat " + m.Dir}[c.name]
		l.Wait(c.name+" to give up", func() bool {
			return strings.Contains(logged(m), "is not a size") && strings.HasPrefix(l.Must("sh", "-c", status), c.gives)
		})
		m.Unset("mem")
		do("deactivate", c.name)
		if r := l.Run("sh", "-c", "s6-svok $0 || s6-svok $0/log", m.Dir); r.Code == 0 {
			t.Errorf("%s: a supervisor runs", c.name)
		}
		nothingRuns(t, l, m)
	}
}

// systemd itself cannot be started here.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	verify := []string{"verify", "--man=no"}
	dir := t.TempDir()
	units, err := filepath.Glob("../examples/systemd/*.*[rte]") // .service, .socket, .timer
	if err != nil || len(units) < 6 {
		t.Fatal(units, err)
	}
	for _, from := range units {
		text := strings.ReplaceAll(read(t, from), "/usr/local/sbin", l.Bin)
		unit := filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, unit)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", verify...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
