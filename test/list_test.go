package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/roster"
	"uml/test/lab"
)

// How machines stand is told from outside: one that runs, one that waits, one that
// fails again and again, one that nobody activated, one whose settings are wrong,
// with no process of ours that could be asked.
func TestList(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": "192.0.2.20\n192.0.2.32/30", "swap": "64M"})
	broken, late, idle := l.Machine("broken", nil), l.Machine("late", nil), l.Machine("idle", lab.Settings{"mem": "96M"})
	wrong := l.Machine("wrong", lab.Settings{"mem": "lots"})
	before := time.Now().Add(-time.Second)
	m.Activate()
	m.WaitLog("guest up")

	l.SetHost("retry-delay", "3600")
	l.SetHost("stagger", "3600-3600")
	if err := os.Remove(filepath.Join(broken.Jail, "ubd0")); err != nil {
		t.Fatal(err)
	}
	broken.Activate()
	l.Wait("broken to fail", func() bool { return listed(t, l)["broken"].State == roster.Failing })
	if err := os.WriteFile(l.Machines+"-nostart", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	late.Activate()
	l.Wait("late to wait", func() bool { return listed(t, l)["late"].State == roster.Waiting })

	all := listed(t, l)
	if len(all) != 5 {
		t.Errorf("got %d machines, want 5", len(all))
	}
	g := all["guest"]
	if g.State != roster.Up || !g.Activated || g.PID != m.PID() || g.Supervised != "daemontools" || g.Since == nil || g.Since.Before(before) || g.Since.After(time.Now()) {
		t.Errorf("guest: got %+v, since %v", g, g.Since)
	}
	if g.Promised != 64<<20 || g.Resident < 10<<20 || g.Resident > 100<<20 {
		t.Errorf("guest: %d of %d bytes resident", g.Resident, g.Promised)
	}
	if strings.Join(g.Addresses, " ") != "192.0.2.20 192.0.2.32/30" || len(g.Discs) != 2 || g.Discs[1].Size != 64<<20 || g.Discs[1].Allocated > 1<<20 {
		t.Errorf("guest: addresses %q, discs %+v", g.Addresses, g.Discs)
	}
	if b := all["broken"]; !strings.Contains(b.Why, "jail/ubd0: there is no such file") || b.Since == nil || b.Since.Before(before) || b.PID == 0 {
		t.Errorf("broken: got %+v", b)
	}
	if w := all["late"]; w.Why != "machines-nostart" {
		t.Errorf("late: got %+v", w)
	}
	if i := all["idle"]; i.State != roster.Down || i.Activated || i.Promised != 96<<20 {
		t.Errorf("idle: got %+v", i)
	}
	if w := all["wrong"]; w.State != roster.Down || len(w.Faults) != 1 || !strings.Contains(w.Faults[0], `settings/mem: "lots"`) {
		t.Errorf("wrong: got %+v", w)
	}
	out := l.Must("uml-ctl", "list")
	for _, want := range []string{"NAME ", "guest  yes up ", "waiting: machines-nostart", "(failing since ", "192.0.2.20 +1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if got := l.Must("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "list", "guest"); !strings.Contains(got, "guest yes up ") {
		t.Errorf("to its own user:\n%s", got)
	}
	l.Account("other")
	if got := l.Must("setpriv", "--reuid=other", "--regid=other", "--clear-groups", "uml-ctl", "list", "guest"); !strings.Contains(got, "guest yes unknown ") {
		t.Errorf("to another user:\n%s", got)
	}
	refusedBy(t, "uml-ctl", l.Run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "up", "guest"), 100, "only root tells a supervisor")
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "list", "nosuch"), 100, "nosuch: there is no such machine")
	hostileJail(t, l, idle)
	drawn(t, l)
	measured(t, l, m)
	keptLog(t, l, m)

	l.Kill(m.PID(), unix.SIGKILL) // supervise starts the next, which waits
	l.Wait("the next start", func() bool { return listed(t, l)["guest"].State == roster.Waiting })
	if err := os.RemoveAll(wrong.Dir); err != nil {
		t.Fatal(err)
	}
	if all := listed(t, l); len(all) != 4 {
		t.Errorf("one is removed, and %d are there", len(all))
	}
	if err := os.Remove(l.Machines + "-nostart"); err != nil {
		t.Fatal(err)
	}
	waits := func(name, why string) {
		l.Wait(name+": "+why, func() bool {
			m := listed(t, l)[name]
			return m.State == roster.Waiting && m.Why == why
		})
	}
	waits("late", "stagger")
	l.SetHost("min-uptime", "86400")
	idle.Activate(freshlyBooted...)
	waits("idle", "min-uptime")
}

func listed(t *testing.T, l *lab.Lab) map[string]roster.Machine {
	t.Helper()
	var machines []roster.Machine
	if err := json.Unmarshal([]byte(l.Must("uml-ctl", "list", "--json")), &machines); err != nil {
		t.Fatal(err)
	}
	all := map[string]roster.Machine{}
	for _, m := range machines {
		all[m.Name] = m
	}
	return all
}

// hostileJail: nothing that a user puts in its jail holds a list up.
func hostileJail(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	l.Must("sh", "-ec", `cd "$0"; rm ubd0; mkfifo ubd0; ln -s /dev/zero ubd1; mknod ubd2 c 1 5; mkdir ubd3`, m.Jail)
	if got := listed(t, l)["idle"]; len(got.Discs) != 0 || got.State != roster.Down {
		t.Errorf("idle, with other things for discs: %+v", got)
	}
}

// drawn: on a terminal a table is drawn in its width until q, and the terminal is
// as it was.
func drawn(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, command := range []string{"list --watch=0.2", "top -d 0.2"} {
		script := `stty -F "$0" sane cols 80 rows 24; before=$(stty -F "$0" -g)
			uml-ctl ` + command + ` <"$0" >"$0"; code=$?
			[ "$before" = "$(stty -F "$0" -g)" ] || { echo the terminal is not as it was >&2; exit 1; }
			exit $code`
		r := l.Run("sh", "-c", `rm -f /run/drawn; socat -t60 PTY,link=/run/screen,raw,echo=0 SYSTEM:'sleep 1; printf q; cat >/run/drawn' & socat=$!
			while ! [ -e /run/screen ]; do sleep 0.1; done
			timeout 100 sh -c "$0" /run/screen; code=$?
			[ $code != 0 ] || timeout 60 sh -c 'until grep -q 1049l /run/drawn; do sleep 0.1; done'
			kill $socat; exit $code`, script)
		shown, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(l.PID), "root/run/drawn"))
		if r.Code != 0 || !strings.Contains(string(shown), "\x1b[?1049h") || !strings.Contains(string(shown), "guest") || !strings.Contains(string(shown), "\x1b[?1049l") {
			t.Errorf("%s: exit %d, %s\n%q", command, r.Code, r.Err, shown)
		}
	}
}

// measured: the numbers of top are those of what the guest does.
func measured(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	m.Guest("{ while :; do :; done; } </dev/null >/dev/null 2>&1 & echo $!")
	var line []string
	l.Wait("CPU to be seen", func() bool {
		for l := range strings.Lines(l.Must("uml-ctl", "top", "-n", "1", "-d", "1", "--plain")) {
			if f := strings.Fields(l); len(f) >= 8 && f[0] == "guest" {
				line = f
			}
		}
		cpu, _ := strconv.ParseFloat(line[1], 64)
		return cpu > 5
	})
	for _, cell := range line[1:] {
		if cell == "-" {
			t.Errorf("not known: %q", line)
		}
	}
}

// keptLog: the log that a real multilog has made of what the guest said.
func keptLog(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "log", "guest"), 100, "guest/log: there is no such directory")
	l.Must("sh", "-ec", `mkdir "$0/log"; multilog t "$0/log/main" <"$1"`, m.Dir, filepath.Join(l.Dir, "guest.log"))
	out := l.Must("uml-ctl", "log", "guest", "-n", "all")
	if !strings.Contains(out, " guest up\n") || !strings.HasPrefix(out, "20") || strings.Contains(out, "@4000") {
		t.Errorf("log:\n%s", out)
	}
	if got := l.Must("uml-ctl", "log", "-n", "1", "guest"); strings.Count(got, "\n") != 1 || !strings.HasSuffix(out, got) {
		t.Errorf("the last line: %q", got)
	}
	if r := l.Run("sh", "-c", "timeout 60 uml-ctl log -f guest -n 3 | head -n 1; exit $?"); r.Code != 0 || r.Err != "" {
		t.Errorf("followed by who reads one line: exit %d, %s", r.Code, r.Err)
	}
	l.Must("uml-ctl", "log", "guest", "told", "by", "the", "host")
}
