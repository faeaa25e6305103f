package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/cutter"
	"uml/test/lab"
)

// A twins is a lab's two hosts, between which guests move. An account of one name has another number on
// each.
type twins struct {
	t      *testing.T
	hosts  [2]*lab.Lab
	cutter *cutter.Cutter // between the hosts, if a test has put one there
}

// quickScan is svscan's work, but for logs: within a tenth of a second, not after five.
const quickScan = `cd $0; while :; do for s in *; do test -e $s/run && ! svok $s && supervise $s & done; sleep 0.1; done 2>/dev/null`

// newTwins makes them; scan is what is to be svscan.
func newTwins(t *testing.T, scan ...string) *twins {
	t.Helper()
	return &twins{t: t, hosts: lab.Twins(t, scan...)}
}

// ssh is the command by which host i reaches the other.
func (p *twins) ssh(i int) string {
	ssh := lab.RootSSH(p.hosts[i].Key())
	if p.cutter != nil {
		return p.cutter.Command() + " " + ssh
	}
	return ssh
}

// move is the command by which host i moves its guest to the other.
func (p *twins) move(i int, more ...string) *exec.Cmd {
	return p.hosts[i].Cmd(p.t.Context(), "/", append([]string{"uml-machine", "move", "--ssh", p.ssh(i)}, more...)...)
}

func (p *twins) address(i int) string { return [2]string{lab.HostIP4, lab.EastIP4}[i] }

// quickEnd is a guest's end in order, without the two seconds that busybox's own waits.
const quickEnd = `#!/bin/sh
kill -9 -1
sync
mount -o remount,ro / && busybox halt -f
`

// guest is a machine of west that is up, with room on its disc.
func (p *twins) guest(name, address string) {
	p.t.Helper()
	l := p.hosts[0]
	m := l.Machine(name, lab.Settings{"ip4": address})
	l.SetHome(name, m.Dir)
	end := filepath.Join(l.Dir, "end")
	if err := os.WriteFile(end, []byte(quickEnd), 0o755); err != nil {
		p.t.Fatal(err)
	}
	l.Must("sh", "-ec", `truncate -s 256M $0; resize2fs $0 2>/dev/null; for c in 'rm bin/halt' "write $1 bin/halt"; do debugfs -w -R "$c" $0 2>/dev/null; done`, filepath.Join(m.Jail, "ubd0"), end)
	l.Must("uml-ctl", "activate", name)
	l.WaitPing(address)
}

// through puts a cutter between the hosts, which asks f of each frame; nil: it lets all go on.
func (p *twins) through(f func(cutter.Frame) cutter.Order) {
	p.t.Helper()
	if p.cutter == nil {
		c, err := cutter.New(p.hosts[0].Dir)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(c.Close)
		p.cutter = c
	}
	p.cutter.Decide(f)
}

// cutAt cuts the wire at the first frame of a label, before it has gone on.
func (p *twins) cutAt(label string) {
	p.t.Helper()
	p.through(func(f cutter.Frame) cutter.Order {
		if f.Label == label {
			return cutter.Cut
		}
		return cutter.Go
	})
}

// There and back again, under load: nothing that the guest has promised is lost, it never runs twice, and
// the router, whose neighbour cache is warm, finds it without having asked. ROUNDS is how often
// (make proof: 20 times there, and 20 back).
func TestMoveThereAndBack(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	const name, ip = "web", "192.0.2.20"
	p.guest(name, ip)
	s, w, r := p.scribe(ip), p.sentry(name), p.pinger(ip)
	p.through(func(f cutter.Frame) cutter.Order {
		s.down(f)
		return cutter.Go
	})
	for round := range int(number(t, "ROUNDS", 1)) * 2 {
		from := round % 2
		if round < 2 {
			p.hosts[0].Wait("records", func() bool { return len(s.promised()) > 20*(round+1) })
		}
		if r := p.run(from, name, p.address(1-from)); r.Code != 0 {
			t.Fatalf("move %d: %+v", round, r)
		}
		p.moved(name, from, s.last())
		p.found(ip, 1-from)
		if wrong := w.said(); wrong != "" {
			t.Fatalf("round %d: %s", round, wrong)
		}
	}
	r.end()
	t.Logf("%d answers; without one for %v; %d records", r.got, r.gaps, len(s.promised()))
}

// found waits until the router reaches the guest at a host, and not by way of the other: that
// hands on what still comes to it, as long as nobody has told the router.
func (p *twins) found(ip string, at int) {
	p.t.Helper()
	west := p.hosts[0]
	west.WaitPing(ip)
	mac := strings.TrimSpace(p.hosts[at].Must("cat", "/sys/class/net/ext0/address"))
	west.Wait("the router to have heard of the guest's new place", func() bool {
		return strings.Contains(west.MustOther("ip", "neigh", "show", ip), mac)
	})
}

// moved looks at what is left of a move: one owner, whose account has the disc; and the copy of a
// disc that nobody has written to since, with all that was promised until then.
func (p *twins) moved(name string, from int, promised []int) {
	p.t.Helper()
	if got := p.owners(name); len(got) != 1 || got[0] != 1-from {
		p.t.Fatalf("owners are %v, after a move from %d", got, from)
	}
	old, now := p.hosts[from], p.hosts[1-from]
	uid := now.Must("id", "-u", name)
	if got := now.Must("stat", "-c", "%u", filepath.Join(now.Machines, name, "jail/ubd0")); got != uid {
		p.t.Errorf("the disc is user %s's, not %s's", got, uid)
	}
	if r := old.Run("id", "-u", name); r.Code == 0 {
		p.t.Errorf("its account is still on host %d: %s", from, r.Out)
	}
	for i, l := range p.hosts {
		if got := l.Run("ls", "-A", l.Machines+"/.new").Out; got != "" {
			p.t.Errorf("host %d has in staging: %s", i, got)
		}
	}
	copies, _ := filepath.Glob(filepath.Join(old.Machines, ".kept", name+".moved-*"))
	if len(copies) != 1 {
		p.t.Fatalf("kept are %v", copies)
	}
	lost(p.t, old, filepath.Join(copies[0], "jail/ubd0"), promised)
	old.Must("rm", "-r", copies[0])
}

// All machines of a host, those that are down too: what fits goes, and what does not stays.
func TestEvacuate(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	west, east := p.hosts[0], p.hosts[1]
	p.guest("web", "192.0.2.20")
	for _, name := range []string{"down", "taken"} {
		m := west.Machine(name, lab.Settings{"net": "none"})
		west.SetHome(name, m.Dir)
	}
	east.Must("mkdir", filepath.Join(east.Machines, "taken"))
	r := p.run(0, "--evacuate", "--plan", p.address(1))
	if r.Code != 100 || !regexp.MustCompile(`(?m)^down +64M .* fits$`).MatchString(r.Out) || !regexp.MustCompile(`(?m)^taken .*is there already`).MatchString(r.Out) {
		t.Errorf("plan: %+v", r)
	}
	if n := len(p.owners("web")) + len(p.owners("down")); n != 2 || west.Run("ls", filepath.Join(west.Machines, "web/.uml-move")).Code == 0 {
		t.Errorf("a plan has changed something: %d", n)
	}
	r = p.run(0, "--evacuate", p.address(1))
	if r.Code != 100 || !strings.Contains(r.Err, "2 of 3 machines are on "+p.address(1)) {
		t.Errorf("evacuate: %+v", r)
	}
	west.WaitPing("192.0.2.20")
	if got := west.Must("sh", "-c", `ls "$UML_MACHINES"`); got != "taken\n" {
		t.Errorf("left: %s", got)
	}
	if got := east.Must("sh", "-c", `ls "$UML_SERVICE"`); got != "uml-web\n" {
		t.Errorf("activated there: %s", got)
	}
}

// run ends a move with what it said.
func (p *twins) run(i int, more ...string) lab.Result {
	p.t.Helper()
	cmd := p.move(i, more...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.Run()
	return lab.Result{Out: out.String(), Err: said.String(), Code: cmd.ProcessState.ExitCode()}
}

// refused wants a move refused for a reason, and the guest up where it was.
func (p *twins) refused(r lab.Result, code int, want string) {
	p.t.Helper()
	if r.Code != code || !strings.Contains(r.Err, "fatal: ") || !strings.Contains(r.Err, want) {
		p.t.Errorf("exit %d, want %d\n%swant %q", r.Code, code, r.Err, want)
	}
}

// What cannot be is refused in words that tell the mend, and costs nobody his guest.
func TestMoveBad(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	west, east := p.hosts[0], p.hosts[1]
	const name, ip = "web", "192.0.2.20"
	p.guest(name, ip)
	up := west.Machined(name).PID()
	there := p.address(1)
	list := func() string {
		return east.Must("sh", "-c", `ls "$UML_MACHINES"; ls "$UML_MACHINES/.new" 2>/dev/null; cut -d: -f1 /etc/passwd`)
	}
	before := list()

	p.refused(p.run(0, name, "nosuch.invalid"), 100, "ssh nosuch.invalid: ")
	p.refused(p.run(0, name, p.address(0)), 100, "is this host")
	p.refused(p.run(0, "nosuch", there), 100, "there is no such machine")
	p.refused(p.run(0, "--", name, "-oProxyCommand=touch /tmp/x"), 100, "is no name")
	p.refused(p.run(0, "--ssh", "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null -i "+west.Key(), name, there), 100, "verification failed")
	p.refused(p.run(0, "--ssh", "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentityFile=/dev/null", name, there), 100, "Permission denied")

	taken := east.Machine("other", lab.Settings{"ip4": ip})
	p.refused(p.run(0, name, there), 100, "machine other has "+ip)
	taken.Set("ip4", "192.0.2.21")
	east.Must("mkdir", filepath.Join(east.Machines, name))
	p.refused(p.run(0, name, there), 100, "is there already")
	east.Must("rmdir", filepath.Join(east.Machines, name))
	east.Must("useradd", "--system", name)
	p.refused(p.run(0, name, there), 100, "account \"web\" is there already")
	east.Must("userdel", name)
	east.SetHost("overcommit", "0.0001")
	p.refused(p.run(0, name, there), 111, "of RAM would be promised")
	east.Must("rm", filepath.Join(east.HostSettings, "overcommit"))
	east.Must("rm", "-r", taken.Dir)
	for _, file := range []string{"jail/notes", "todo"} {
		west.Must("touch", filepath.Join(west.Machines, name, file))
	}
	if r := p.run(0, "--dry-run", name, there); r.Code != 0 || !strings.Contains(r.Out, "mark     ") || !strings.Contains(r.Err, "warning: web: todo jail/notes: stays here") {
		t.Errorf("dry run: %+v", r)
	}
	if got := list(); strings.ReplaceAll(got, "other\n", "") != before {
		t.Errorf("east was\n%sis\n%s", before, got)
	}
	if now := west.Machined(name).PID(); now != up {
		t.Errorf("process %d was the guest's, now it is %d", up, now)
	}

	// Ctrl-C in the middle: the guest has not noticed anything.
	cmd := p.move(0, "--bwlimit", "500K", name, there)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	west.Wait("what is sent", func() bool {
		return east.Run("test", "-s", filepath.Join(east.Machines, ".new", name, "jail/ubd0")).Code == 0
	})
	unix.Kill(-cmd.Process.Pid, unix.SIGINT)
	cmd.Wait()
	if !strings.Contains(said.String(), "fatal: ended by a signal\n") || !strings.Contains(said.String(), "web stays here") {
		t.Errorf("interrupted, it said\n%s", said.String())
	}

	// A guest that does not end goes on.
	m := west.Machined(name)
	m.Guest("cp -p /bin/halt /bin/was; echo '#!/bin/sh' >/bin/halt; sync")
	p.refused(p.run(0, "--timeout", "2s", name, there), 111, "was asked to end, and goes on")
	if !west.Ping(ip) || m.PID() != up {
		t.Error("the guest is gone")
	}
	// Nobody else has its name there meanwhile, and gc leaves it alone.
	refusedBy(t, "uml-machine", east.Run("uml-machine", "-q", "new", name, "--template", "x"), 100, "is coming from")
	if out := east.Must("uml-machine", "gc"); out != "" {
		t.Errorf("gc: %s", out)
	}
	p.refused(p.run(0, name, "198.51.100.1"), 100, "is on its way to "+there)
	if r := p.run(0, "--abort", name, there); r.Code != 0 {
		t.Errorf("abort: %+v", r)
	}
	if got := list(); strings.Contains(got, name) {
		t.Errorf("after the abort east has\n%s", got)
	}
	p.refused(p.run(0, "--abort", name, there), 100, "no move of it is under way")

	// Cut after the mark: nobody can start it, and it can be had back.
	p.cutAt("> Q take")
	p.refused(p.run(0, "--force", "--timeout", "2s", name, there), 111, "no longer this host's")
	p.through(nil)
	if n := len(p.owners(name)); n != 0 {
		t.Errorf("%d owners", n)
	}
	refusedBy(t, "uml-run", west.RunIn(m.Dir, "uml-run"), 100, "the guest was moved to "+there)
	refusedBy(t, "uml-machine", machine(west, "remove", name, "--yes"), 100, "is on its way to "+there)
	if r := west.Run("uml-check", name); !strings.Contains(r.Out, "was moved to "+there) {
		t.Errorf("uml-check: %s", r.Out)
	}
	if r := p.run(0, "--abort", name, there); r.Code != 0 {
		t.Errorf("abort: %+v", r)
	}
	west.WaitPing(ip)

	// Taken is taken.
	m.Guest("mv /bin/was /bin/halt")
	p.cutAt("< A take")
	p.refused(p.run(0, name, there), 111, "no longer this host's")
	p.through(nil)
	p.refused(p.run(0, "--abort", name, there), 100, "it was taken there")
	if r := p.run(0, "--delete", name, there); r.Code != 0 {
		t.Errorf("said again: %+v", r)
	}
	west.WaitPing(ip)
	p.refused(p.run(0, name, there), 100, "there is no such machine")

	// The key gives nothing but moves.
	ssh := west.Run("ssh", "-F", "none", "-i", west.Key(), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", there, "touch /tmp/owned; id")
	if strings.Contains(ssh.Out, "uid=") || east.Run("ls", "/tmp/owned").Code == 0 {
		t.Errorf("a shell: %+v", ssh)
	}
}
