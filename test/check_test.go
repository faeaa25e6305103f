package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/check"
	"uml/fault"
	"uml/runscript"
	"uml/test/lab"
)

// lines is what uml-check says; it must change nothing. The kernel does: it probes
// each new IPv6 address, of a TAP whose guest is just up too, and adds its route when
// nobody else had it.
func lines(t *testing.T, l *lab.Lab, want int, args ...string) []check.Line {
	t.Helper()
	l.Wait("the host's own IPv6 addresses", func() bool { return l.Must("ip", "-6", "-o", "addr", "show", "tentative") == "" })
	before := state(l)
	r := l.Run(append([]string{"uml-check", "--json"}, args...)...)
	if after := state(l); after != before {
		t.Errorf("uml-check %q changed something:\n%s", args, difference(before, after))
	}
	var all []check.Line
	if err := json.Unmarshal([]byte(r.Out), &all); err != nil || r.Err != "" {
		t.Fatalf("uml-check %q: %v: %s%s", args, err, r.Out, r.Err)
	}
	if r.Code != want {
		t.Errorf("uml-check %q: exit %d, want %d\n%s", args, r.Code, want, r.Out)
	}
	return all
}

// state is the lab's, without the discs if a guest runs, which writes to them.
func state(l *lab.Lab) string {
	all := l.State()
	if len(l.Processes(func(s lab.Status) bool { return s["Name"] == "linux" })) == 0 {
		return all
	}
	return regexp.MustCompile(`(?m)^\S+/jail/(ubd\d|swap) .*\n`).ReplaceAllString(all, "")
}

// difference is the lines that are in one text only.
func difference(before, after string) string {
	var b strings.Builder
	for _, side := range [][3]string{{"-", before, after}, {"+", after, before}} {
		for line := range strings.Lines(side[1]) {
			if !strings.Contains(side[2], line) {
				b.WriteString(side[0] + line)
			}
		}
	}
	return b.String()
}

// has says whether a line of a check begins with status and holds text.
func has(t *testing.T, all []check.Line, checkName, status, text string) {
	t.Helper()
	ok := slices.ContainsFunc(all, func(l check.Line) bool {
		return l.Check == checkName && l.Status == status && strings.Contains(l.Text, text)
	})
	if !ok {
		t.Errorf("no line %s %s %q in:\n%s", status, checkName, text, printed(all))
	}
}

func printed(all []check.Line) string {
	var b strings.Builder
	(&check.Report{Lines: all}).Print(&b, false)
	return b.String()
}

func TestCheckDown(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Machine("guest", lab.Settings{"ip4": address, "swap": "16M"})
	all := lines(t, l, fault.OK, "guest")
	has(t, all, "lock", check.OK, "the guest is down")
	has(t, all, "kernel", check.OK, "jail/linux: dynamic, /lib64/ld-linux-x86-64.so.2")
	has(t, all, "disc", check.OK, "jail/ubd0: 24M, write")
	has(t, all, "swap", check.OK, "made at the start")
	has(t, all, "addresses", check.OK, "silent on ext0 for 300ms: "+address)
	has(t, all, "skas", check.OK, "")
	whole := lines(t, l, fault.OK)
	has(t, whole, "external", check.OK, "ext0")
	has(t, whole, "firewall", check.OK, "IPv6: no rules yet, the first start of a routed guest makes them")
	has(t, whole, "machines", check.OK, "1 in "+l.Machines)
	human := l.Must("uml-check", "guest")
	if n := strings.Count(human, "\n"); n != len(all) || !strings.Contains(human, "\nok    guest   lock       nobody holds it") {
		t.Errorf("%d lines for a person, want %d:\n%s", n, len(all), human)
	}
}

func TestCheckUp(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "ip6": "2001:db8:1::/64", "swap": "16M"})
	m.Activate()
	pid := m.WaitUp(0)
	m.WaitLog("guest up")
	l.Wait("an answer over IPv6", func() bool { return l.Run("ping", "-n", "-q", "-c1", "-W1", "2001:db8:1::2").Code == 0 })
	all := lines(t, l, fault.OK, "guest")
	has(t, all, "start", check.OK, "; supervised")
	has(t, all, "lock", check.OK, fmt.Sprintf("held by process %d, the guest kernel", pid))
	has(t, all, "disc", check.OK, "jail/ubd0: 24M, write")
	has(t, all, "swap", check.OK, "jail/swap: 16M, write")
	has(t, all, "network", check.OK, address+" published on ext0")
	has(t, all, "addresses", check.OK, "answer a ping: "+address+", 2001:db8:1::2")

	l.Must("ip", "route", "del", address)
	all = lines(t, l, fault.MustMend, "guest")
	has(t, all, "network", check.Fail, "the guest is up without: ip route add "+address)
	has(t, all, "network", check.Fail, "(try: uml-net up "+m.Dir+")")
	l.Must("uml-net", "up", m.Dir)
	lines(t, l, fault.OK, "guest")

	l.Must("sh", "-c", "iptables -t raw -I UML-FORGED -j ACCEPT; ip6tables -t raw -I PREROUTING -p udp -j ACCEPT")
	all = lines(t, l, fault.MustMend, "guest")
	has(t, all, "network", check.Fail, "the guest is up without: uml-net restore")
	whole := lines(t, l, fault.MustMend)
	has(t, whole, "firewall", check.Fail, "IPv4: the rules that keep guests from forging addresses do not stand whole, and guests are up (try: uml-net restore)")
	has(t, whole, "firewall", check.Warn, "IPv6: 1 rules of others stand before ours in table raw, chain PREROUTING")
	l.Must("uml-net", "restore")
	lines(t, l, fault.OK, "guest")

	m.Svc("-d")
	m.WaitDown()
	quiet(t, l, m)
	all = lines(t, l, fault.OK, "guest")
	has(t, all, "network", check.OK, address+" published on ext0")
	has(t, all, "addresses", check.Warn, "try: uml-net down "+m.Dir)
}

func TestCheckStrays(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	pid := m.WaitUp(0)
	m.Svc("-o") // no return
	l.Kill(pid, syscall.SIGKILL)
	m.WaitDown()
	if len(processes(t, l, m)) == 0 {
		t.Fatal("the killed kernel left no stray")
	}
	all := lines(t, l, fault.OK, "guest")
	has(t, all, "lock", check.Warn, "the next start ends them")
	has(t, all, "disc", check.OK, "jail/ubd0")
}

// Others hold the disc, or the machine's lock: neither is a guest that runs.
func TestCheckHeld(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	command := func(args ...string) (end func()) {
		cmd := l.Cmd(t.Context(), m.Dir, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() { cmd.Cancel(); cmd.Wait() }
	}
	end := command("flock", "jail/ubd0", "sleep", "60")
	says := func(text string) func() bool {
		return func() bool { return strings.Contains(l.Run("uml-check", "guest").Out, text) }
	}
	l.Wait("flock", says("the disc is in use"))
	all := lines(t, l, fault.MayPass, "guest")
	has(t, all, "disc", check.Fail, "the disc is in use")
	has(t, all, "lock", check.OK, "nobody holds it")
	end()
	l.Wait("the end of flock", says("jail/ubd0: 24M, write"))

	defer command("uml-jail", "guest", "--", "/bin/busybox", "sleep", "60")()
	l.Wait("uml-jail", says("no guest kernel"))
	all = lines(t, l, fault.OK, "guest")
	has(t, all, "lock", check.OK, "no guest kernel: a start, or uml-jail")
	has(t, all, "disc", check.OK, "jail/ubd0: 24M, write")
	has(t, all, "addresses", check.Warn, "not asked")
}

// An address that answers is no fault of anybody here: 111.
func TestCheckAddressTaken(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	guest(l)
	l.MustOther("ip", "addr", "add", address+"/32", "dev", "wan0")
	all := lines(t, l, fault.MayPass, "guest")
	has(t, all, "addresses", check.Fail, address+": answers on ext0")
}

// Everything that is broken is said at once, each with what to do.
func TestCheckBroken(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address})
	l.Must("sh", "-c", "touch /run/disc; mount --bind "+filepath.Join(m.Jail, "ubd0")+" /run/disc")
	other := l.Machine("other", lab.Settings{"ip4": address, "ubd1": "/run/disc flags=r", "user": "guest"})
	if err := os.Chown(other.Jail, m.UID, m.UID); err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(m.Jail, "linux")
	for _, err := range []error{
		os.Chmod(shut, 0o600),
		os.Chown(shut, 0, 0),
		unix.Mkfifo(filepath.Join(m.Jail, "ubd1"), 0o644),
		os.WriteFile(filepath.Join(m.Jail, "uml"), nil, 0o644),
		os.Mkdir(filepath.Join(l.Machines, "no name"), 0o755),
		os.Mkdir(filepath.Join(l.Machines, runscript.Staging), 0o700),
		os.WriteFile(l.Machines+"-nostart", nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l.Must("ip", "link", "add", "tap_guest", "type", "veth", "peer", "name", "peer")
	all := lines(t, l, fault.MustMend)
	has(t, all, "start", check.Warn, l.Machines+"-nostart is there")
	has(t, all, "kernel", check.Fail, "guest cannot execute it (try: chmod")
	has(t, all, "disc", check.Fail, "ubd1: is a fifo")
	has(t, all, "disc", check.Fail, "other has the same file")
	has(t, all, "uml", check.Fail, "is not a directory")
	has(t, all, "network", check.Fail, "not this machine's TAP")
	has(t, all, "user", check.Fail, "guest has it too")
	has(t, all, "mac", check.Fail, "guest has it too")
	has(t, all, "addresses", check.Fail, address+"/32: other has it too")
	has(t, all, "machines", check.Warn, `"no name" is no machine name`)
	for _, line := range all {
		if strings.Contains(line.Text, `"`+runscript.Staging+`"`) {
			t.Errorf("where uml-machine works is at fault: %s", line.Text)
		}
	}
	if r := m.Run("uml-check", "./"); r.Code != fault.MustMend || !strings.Contains(r.Out, "FAIL  guest ") {
		t.Errorf("by path: exit %d\n%s", r.Code, r.Out)
	}
	other.Set("mem", "64")
	all = lines(t, l, fault.MustMend, "other", "no/where")
	has(t, all, "settings", check.Fail, `"64" is not a size`)
	has(t, all, "structure", check.Warn, "when the settings are mended")
	has(t, all, "settings", check.Fail, "no/where: there is no such machine directory")
}

// A name that a guest's user gave drives no terminal, and an unknown flag is no
// check.
func TestCheckUsage(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{})
	m.Set("kernel", "a\x1b[31mb")
	if r := l.Run("uml-check", "guest"); r.Code != fault.MustMend || strings.Contains(r.Out, "\x1b") {
		t.Errorf("exit %d: %q", r.Code, r.Out)
	}
	r := l.Run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-check")
	if want := "FAIL  (host)  root  only root can look at what a start looks at (try: sudo uml-check)\n"; r.Code != fault.MustMend || r.Out != want {
		t.Errorf("not root: exit %d, %q, want %q", r.Code, r.Out, want)
	}
	for _, args := range [][]string{{"--jsn"}, {"--", "--json"}} {
		r := l.Run(append([]string{"uml-check"}, args...)...)
		if r.Code != fault.MustMend || r.Out != "" || !strings.HasPrefix(r.Err, "uml-check: fatal: ") {
			t.Errorf("%q: exit %d, %q, %q", args, r.Code, r.Out, r.Err)
		}
	}
}
