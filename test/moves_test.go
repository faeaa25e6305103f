package test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// A twins is two hosts on one segment with a router, each with its own accounts, machines and sshd.
type twins struct {
	t     *testing.T
	hosts [2]*lab.Lab
	cut   string // program and its arguments, before ssh
}

const eastIP4 = "192.0.2.11"

func newTwins(t *testing.T) *twins {
	t.Helper()
	p := &twins{t: t, hosts: [2]*lab.Lab{lab.New(t), lab.New(t)}}
	west, east := p.hosts[0], p.hosts[1]
	east.Must("ip", "link", "del", "ext0")
	// The router's end of the link becomes a port of a switch, to which east is joined too.
	if out, err := exec.Command("nsenter", "-t", strconv.Itoa(west.PID), "-n",
		"ip", "link", "add", "wan1", "type", "veth", "peer", "name", "ext0", "netns", strconv.Itoa(east.PID)).CombinedOutput(); err != nil {
		t.Fatalf("join the hosts: %v\n%s", err, out)
	}
	west.Must("ip", "link", "set", "wan1", "netns", "other")
	west.MustOther("sh", "-ec", "ip link add sw0 type bridge; ip addr flush dev wan0; ip link set wan0 master sw0; ip link set wan1 master sw0 up; ip link set sw0 up; ip addr add "+lab.OtherIP4+"/24 dev sw0")
	east.Must("sh", "-ec", "ip addr add "+eastIP4+"/24 dev ext0; ip link set ext0 up; ip route add default via "+lab.OtherIP4)
	for i, l := range p.hosts {
		l.OwnEtc()
		l.SetHost("external", "ext0")
		l.SetHost("ping-timeout", "200")
		l.SetHost("retry-delay", "1")
		l.Must("sed", "-i", "s/^root:[^:]*:/root:*:/", "/etc/shadow")
		l.SSHD("PermitRootLogin prohibit-password\nStrictModes no\nAuthorizedKeysFile " + filepath.Join(l.Dir, "movers"))
		p.daemon(i, "svscan", l.Service)
	}
	for _, l := range p.hosts {
		env := []string{}
		for _, e := range l.Cmd(t.Context(), "/", "true").Env {
			if strings.HasPrefix(e, "UML_") || strings.HasPrefix(e, "PATH="+l.Bin) {
				env = append(env, e)
			}
		}
		lines := ""
		for _, from := range p.hosts {
			key, err := os.ReadFile(from.Key() + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			lines += fmt.Sprintf("command=\"env %s %s/uml-machine serve\",restrict %s", strings.Join(env, " "), l.Bin, key)
		}
		if err := os.WriteFile(filepath.Join(l.Dir, "movers"), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *twins) daemon(i int, args ...string) {
	p.t.Helper()
	cmd := p.hosts[i].Cmd(context.Background(), "/", args...)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go cmd.Wait()
}

// move is the command by which host i moves its guest to the other.
func (p *twins) move(i int, more ...string) *exec.Cmd {
	l := p.hosts[i]
	ssh := fmt.Sprintf("ssh -F none -i %s -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", l.Key())
	if p.cut != "" {
		ssh = p.cut + " " + ssh
	}
	args := append([]string{"uml-machine", "move", "--ssh", ssh}, more...)
	return l.Cmd(p.t.Context(), "/", args...)
}

func (p *twins) address(i int) string { return [2]string{lab.HostIP4, eastIP4}[i] }

// guest is a machine of west that is up, whose guest writes all the time: its records are numbered
// and have a sum, and only what was synced is said to the router.
func (p *twins) guest(name, address string) {
	p.t.Helper()
	l := p.hosts[0]
	m := l.Machine(name, lab.Settings{"ip4": address})
	l.SetHome(name, m.Dir)
	l.Must("uml-ctl", "activate", name)
	l.WaitPing(address)
}

// There and back again, and written to all the time: the guest goes on with all that it had, and
// the router, which knew it at the old host, finds it.
func TestMoveThereAndBack(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	const name, ip = "web", "192.0.2.20"
	p.guest(name, ip)
	n, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil {
		n = 1
	}
	stop := p.watch(name)
	s := p.scribe(name)
	for round := range 2 * n {
		from := round % 2
		if r := p.run(from, name, p.address(1-from)); r.Code != 0 {
			t.Fatalf("move %d: %+v", round, r)
		}
		p.hosts[0].WaitPing(ip)
	}
	s.check(t)
	stop()
	p.hosts[0].Must("uml-ctl", "stop", name)
	p.hosts[0].Must("e2fsck", "-fn", filepath.Join(p.hosts[0].Machines, name, "jail/ubd0"))
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
	if n := p.owners("web") + p.owners("down"); n != 2 || west.Run("ls", filepath.Join(west.Machines, "web/.uml-move")).Code == 0 {
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

// A scribe writes records into a guest, from the router, one after the other: those that the guest
// has said it has on its disc must be there for ever.
type scribe struct {
	m     *lab.Machine
	l     *lab.Lab
	acked []string
	stop  chan struct{}
	ended chan struct{}
}

func (p *twins) scribe(name string) *scribe {
	s := &scribe{l: p.hosts[0], m: p.hosts[0].Machined(name), stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for n := 1; ; n++ {
			select {
			case <-s.stop:
				return
			case <-p.t.Context().Done():
				return
			default:
			}
			record := fmt.Sprintf("record %d %x", n, sha256.Sum256([]byte(fmt.Sprint(n))))
			if s.ask("echo "+record+" >>/root/records && sync && echo done "+strconv.Itoa(n)) == "done "+strconv.Itoa(n)+"\n" {
				s.acked = append(s.acked, record)
			}
		}
	}()
	return s
}

// ask runs a line in the guest, if that answers.
func (s *scribe) ask(line string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	cmd := s.l.Cmd(ctx, "/", "ip", "netns", "exec", "other", "busybox", "nc", s.m.IP4, "7")
	cmd.Stdin = strings.NewReader(line + "\n")
	out, _ := cmd.Output()
	return string(out)
}

// check ends it, and looks for what it was promised.
func (s *scribe) check(t *testing.T) {
	t.Helper()
	close(s.stop)
	<-s.ended
	has := map[string]bool{}
	for line := range strings.Lines(s.m.Guest("cat /root/records")) {
		has[strings.TrimSpace(line)] = true
	}
	lost := 0
	for _, r := range s.acked {
		if !has[r] {
			lost++
		}
	}
	if lost > 0 || len(s.acked) == 0 {
		t.Errorf("%d of %d acknowledged records are lost", lost, len(s.acked))
	}
}

// owners are the hosts on which the guest could be started.
func (p *twins) owners(name string) (n int) {
	for _, l := range p.hosts {
		dir := filepath.Join(l.Machines, name)
		_, there := os.Stat(filepath.Join(dir, "settings"))
		_, gone := os.Stat(filepath.Join(dir, "moved-to"))
		if there == nil && gone != nil {
			n++
		}
	}
	return n
}

// watch looks all the time whether the guest runs on both hosts, or could.
func (p *twins) watch(name string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	var nets [2]string
	for i, l := range p.hosts {
		nets[i], _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/net", l.PID))
	}
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if n := p.owners(name); n > 1 {
				p.t.Errorf("%s could be started on both hosts", name)
				return
			}
			runs := map[string]bool{}
			all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, file := range all {
				text, _ := os.ReadFile(file)
				if net, err := os.Readlink(filepath.Dir(file) + "/ns/net"); err == nil && strings.Contains(string(text), "umid="+name) && slices.Contains(nets[:], net) {
					runs[net] = true
				}
			}
			if len(runs) > 1 {
				p.t.Errorf("%s runs on both hosts", name)
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// A cutting is where a move is ended, and who ends.
type cutting struct{ where, what string }

// cuttings are all points, or some of them.
func cuttings() (all []cutting) {
	for _, where := range []string{"out:H:1", "in:H:1", "out:offer:1", "in:A:1", "out:pass:1", "out:D:1", "out:D:9", "out:end:1", "in:A:3", "out:pass:2", "out:end:2", "out:ready:1", "in:A:6", "out:take:1", "in:A:7"} {
		for _, what := range []string{"wire", "client", "server", "client-after"} {
			all = append(all, cutting{where, what})
		}
	}
	if os.Getenv("FAULTS") != "all" {
		return []cutting{{"out:D:9", "wire"}, {"in:A:1", "client"}, {"out:ready:1", "server"}, {"out:take:1", "wire"}, {"out:take:1", "client-after"}, {"in:A:7", "wire"}}
	}
	return all
}

// Wherever a move is ended: never two owners, and the same command goes on to the end, with
// nothing lost.
func TestMoveCut(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	cut := buildCut(t)
	const name, ip = "web", "192.0.2.20"
	p.guest(name, ip)
	stop := p.watch(name)
	s := p.scribe(name)
	at := 0
	for _, c := range cuttings() {
		file := filepath.Join(t.TempDir(), "now")
		what := c.what
		if what == "server" {
			what = "pause"
		}
		p.cut = strings.Join([]string{cut, c.where, what, file}, " ")
		var said strings.Builder
		cmd := p.move(at, name, p.address(1-at))
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if what == "pause" {
			p.hosts[1-at].Wait("the frame", func() bool { _, err := os.Stat(file); return err == nil })
			p.hosts[1-at].Run("pkill", "-9", "-f", "uml-machine serve")
			os.Remove(file)
		}
		err := <-ended
		t.Logf("%v from %d: %v\n%s", c, at, err, said.String())
		if err == nil && c.where != "in:A:7" {
			t.Errorf("%v: it was not cut", c)
		}
		p.cut = ""
		if err != nil {
			if out, err := p.move(at, name, p.address(1-at)).CombinedOutput(); err != nil {
				t.Fatalf("%v: said again: %v\n%s", c, err, out)
			}
		}
		at = 1 - at
		p.hosts[0].WaitPing(ip)
		if n := p.owners(name); n != 1 {
			t.Fatalf("%v: %d owners", c, n)
		}
		if t.Failed() {
			break
		}
	}
	s.check(t)
	stop()
	p.hosts[at].Must("uml-ctl", "stop", name)
	p.hosts[at].Must("e2fsck", "-fn", filepath.Join(p.hosts[at].Machines, name, "jail/ubd0"))
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
	m.Guest("kill -STOP 1")
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
	p.cut = buildCut(t) + " out:take:1 wire none"
	p.refused(p.run(0, "--force", "--timeout", "2s", name, there), 111, "no longer this host's")
	p.cut = ""
	if n := p.owners(name); n != 0 {
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
	p.cut = buildCut(t) + " in:A:7 wire none"
	p.refused(p.run(0, name, there), 111, "no longer this host's")
	p.cut = ""
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

func buildCut(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cut")
	cmd := exec.Command("go", "build", "-o", file, "./cut")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build cut: %v\n%s", err, out)
	}
	return file
}
