package test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"uml/test/lab"
)

// What every program of the suite answers: help on standard output, usage errors
// on standard error only, and 100.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	before := l.State()
	for _, prog := range []string{"uml-run", "uml-jail", "uml-net", "uml-check", "uml-ctl", "uml-shelld", "uml-machine"} {
		if r := m.Run(prog, "--help"); r.Code != 0 || r.Err != "" || !strings.HasPrefix(r.Out, "NAME:\n   "+prog+" - ") || !strings.Contains(r.Out, "--machines") {
			t.Errorf("%s --help: exit %d, %q, printed\n%s", prog, r.Code, r.Err, r.Out)
		}
		if r := m.Run(prog, "--version"); r.Code != 0 || r.Err != "" || !regexp.MustCompile(`^`+prog+` version \S+\n$`).MatchString(r.Out) {
			t.Errorf("%s --version: exit %d, %q, printed\n%s", prog, r.Code, r.Err, r.Out)
		}
		refusedBy(t, prog, m.Run(prog, "--nosuch"), 100, "-nosuch (see --help)")
	}
	if r := m.Run("uml-shell", "--help"); r.Code != 0 || r.Err != "" || !strings.HasPrefix(r.Out, "uml-shell - ") {
		t.Errorf("uml-shell --help: exit %d, %q, printed\n%s", r.Code, r.Err, r.Out)
	}
	if r := m.Run("uml-shell", "--version"); r.Code != 0 || r.Err != "" || !regexp.MustCompile(`^uml-shell version \S+\n$`).MatchString(r.Out) {
		t.Errorf("uml-shell --version: exit %d, %q, printed\n%s", r.Code, r.Err, r.Out)
	}
	for want, args := range map[string][]string{
		`usage: uml-shell [-c COMMAND] (see`: {"uml-shell", "-x"},
		`usage: uml-shell [-c COMMAND]`:      {"uml-shell", "-c", "status", "x"},
		`2 names, it takes one`:              {"uml-run", "a", "b"},
		`flag provided but not defined: -x`:  {"uml-run", "guest", "-x"},
		`"-x" is no name`:                    {"uml-run", "--", "-x"},
		`"sideways" is no command`:           {"uml-net", "sideways", "guest"},
		`no command (see --help)`:            {"uml-net"},
		`no NAME of a machine`:               {"uml-net", "up"},
		`no command (try: uml-jail NAME`:     {"uml-jail", "guest"},
		`"haltnot" is no command`:            {"uml-ctl", "haltnot", "guest"},
		`no NAME of a machine (see`:          {"uml-ctl", "halt"},
		`no NAME of a machine (`:             {"uml-ctl", "attach"},
		`attach: takes NAME DEVICE [FILE`:    {"uml-ctl", "attach", "guest"},
		`(did you mean stop? see --help)`:    {"uml-ctl", "stp", "guest"},
		`/gest: there is no such machine (d`: {"uml-ctl", "console", "gest"},
		`/gues: there is no such machine (d`: {"uml-ctl", "memory", "gues"},
		`(a time has a unit, such as 30s`:    {"uml-ctl", "stop", "guest", "--timeout", "60"},
		`--timeout: -1s is no time to wait`:  {"uml-ctl", "--timeout=-1s", "stop", "guest"},
		`/no: there is no such directory`:    {"uml-ctl", "stop", "--all", "--machines", "/no"},
		`(for its seconds: --watch=5)`:       {"uml-ctl", "list", "--watch", "5"},
		`--follow, and a TEXT: one of them`:  {"uml-ctl", "log", "guest", "-f", "hello"},
		`sysrq: "t" is none of`:              {"uml-ctl", "sysrq", "guest", "t"},
		`halt: takes nothing, not "x"`:       {"uml-ctl", "halt", "guest", "x"},
		`--timeout: 0s is no time`:           {"uml-ctl", "--timeout", "0", "halt", "guest"},
		`nosuch: there is no such m`:         {"uml-ctl", "halt", "nosuch"},
		`-sideways (see --help)`:             {"uml-net", "down", "--sideways", "guest"},
	} {
		refusedBy(t, args[0], m.Run(args...), 100, want)
	}
	same(t, before, l.State())
}

// uml-jail runs a command in what the kernel gets, and not beside the kernel.
func TestUmlJail(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	look := func() lab.Result {
		return l.Run("uml-jail", "guest", "--", "/bin/busybox", "sh", "-c", `
			busybox() { /busybox "$@"; }
			busybox id; echo * dev/* dev/net/*; busybox mkdir /x; busybox mknod /tmp/null c 1 3
			echo 1 >/tmp/x && echo 2 >/uml/x && busybox rm /uml/x && ulimit -n; exit 7`)
	}
	r := look()
	if r.Code != 7 {
		t.Errorf("exit %d, want that of the command: 7", r.Code)
	}
	equal(t, r.Out, strings.ReplaceAll("uid=UID gid=UID\nannex busybox dev lib lib64 linux tmp ubd0 uml dev/net dev/null dev/ptmx dev/pts dev/net/tun\n1024\n", "UID", fmt.Sprint(m.UID)))
	equal(t, r.Err, "mkdir: can't create directory '/x': Read-only file system\nmknod: /tmp/null: Operation not permitted\n")
	refusedBy(t, "uml-jail", l.Run("uml-jail", "guest", "--", "/nosuch"), 100, "/nosuch: no such program")

	m.Activate()
	pid := m.WaitUp(0)
	refusedBy(t, "uml-jail", look(), 111, fmt.Sprintf("held by process %d, the guest runs", pid))
}

// uml-check before the first start, while the guest runs, and with a fault.
func TestUmlCheck(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	type line struct{ Machine, Check, Status, Text string }
	check := func(code int, args ...string) (fails []line) {
		t.Helper()
		before := settled(l)
		r := l.Run(append([]string{"uml-check", "--json"}, args...)...)
		var lines []line
		if err := json.Unmarshal([]byte(r.Out), &lines); err != nil || r.Code != code || r.Err != "" || len(lines) < 2 {
			t.Errorf("exit %d, want %d, %v, %q, printed\n%s", r.Code, code, err, r.Err, r.Out)
		}
		for _, l := range lines {
			if l.Status == "FAIL" {
				fails = append(fails, l)
			}
		}
		plain := l.Run(append([]string{"uml-check"}, args...)...)
		if got := strings.Count(plain.Out, "FAIL  "); plain.Code != code || got != len(fails) || strings.Contains(plain.Out, "\x1b") {
			t.Errorf("as text: exit %d, %d FAIL, want %d and %d:\n%s", plain.Code, got, code, len(fails), plain.Out)
		}
		same(t, before, settled(l))
		return fails
	}
	check(0)
	check(0, "guest")
	m.Activate()
	m.WaitUp(0)
	m.WaitLog("guest up")
	check(0)
	m.Svc("-d")
	m.WaitDown()
	quiet(t, l, m)

	m.Set("colour", "red")
	if got := check(100, "guest"); len(got) != 1 || got[0].Machine != "guest" || got[0].Check != "settings" || !strings.Contains(got[0].Text, "is not a setting") {
		t.Errorf("got %v", got)
	}
	m.Unset("colour")
	l.SetHost("external", "nosuch0")
	if got := check(111, "guest"); len(got) == 0 || !strings.Contains(got[0].Text, "nosuch0") {
		t.Errorf("got %v", got)
	}
	if got := check(100, "nobody"); len(got) == 0 {
		t.Error("a machine that is not there passes")
	}
}

// The whole dry run of a machine whose settings use much: the same inputs give the
// same lines. After a change that is meant, it is written anew with UPDATE=1.
func TestDryRunGolden(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{
		"ip4": address + "\n192.0.2.32/30", "ip6": "2001:db8:1::/64\n2001:db8:2::/56",
		"swap": "8M", "nice": "5", "con2": "pts", "args": "quiet\npanic=5",
	})
	// A fresh namespace takes these from the machine that it is made on.
	l.Must("sh", "-ec", `cd /proc/sys/net
		echo 0 >ipv4/conf/ext0/forwarding
		echo 80 >ipv4/neigh/ext0/proxy_delay
		echo 0 >ipv6/conf/all/forwarding
		echo 1 >ipv6/conf/ext0/accept_ra`)
	r := m.Run("uml-run", "--dry-run")
	got := strings.NewReplacer(l.Dir, "DIR", fmt.Sprint(m.UID), "UID", fmt.Sprintf("live_%x", m.UID), "live_HEX").Replace(r.Out)
	got = regexp.MustCompile(`uml-dir-[0-9a-f]+|address fe:ff:\S+`).ReplaceAllStringFunc(got, func(s string) string {
		return s[:8] + "HASH" // of the path
	})
	const file = "testdata/dryrun.txt"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, got, read(t, file))
	if r.Code != 0 || r.Err != "" {
		t.Errorf("exit %d, %s", r.Code, r.Err)
	}
}
