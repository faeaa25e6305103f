package test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"uml/test/cutter"
	"uml/test/lab"
)

// meanwhile moves from west, and does something while a frame waits.
func (p *twins) meanwhile(label string, do func(), more ...string) lab.Result {
	p.t.Helper()
	var once sync.Once
	did := false
	p.through(func(f cutter.Frame) cutter.Order {
		if f.Label == label {
			once.Do(func() { do(); did = true })
		}
		return cutter.Go
	})
	defer p.through(nil)
	r := p.run(0, more...)
	if !did {
		p.t.Errorf("%s: never came: %+v", label, r)
	}
	return r
}

// down is a machine of west without a network, whose guest is down, as most that goes wrong
// needs no guest.
func (p *twins) down(name string, s lab.Settings) *lab.Machine {
	p.t.Helper()
	s["net"] = "none"
	m := p.hosts[0].Machine(name, s)
	p.hosts[0].SetHome(name, m.Dir)
	return m
}

// moves wants a move to succeed.
func (p *twins) moves(more ...string) {
	p.t.Helper()
	if r := p.run(0, more...); r.Code != 0 {
		p.t.Errorf("move %v: %+v", more, r)
	}
}

// While a machine moves, nobody else is at it; what changes under the move's hands is found.
func TestMoveMeanwhile(t *testing.T) {
	t.Parallel()
	p := newTwins(t, "sh", "-c", quickScan)
	west, there := p.hosts[0], p.address(1)
	const name, ip = "web", "192.0.2.20"
	p.guest(name, ip)
	m := west.Machined(name)
	up := m.PID()

	disc := filepath.Join(m.Jail, "ubd0")
	r := p.meanwhile("> D", func() {
		p.refused(p.run(0, name, there), 111, "another uml-machine is at work on it")
		for _, args := range [][]string{{"remove", name, "--yes"}, {"rename", name, "new"}, {"copy", name, "new"}} {
			if r := west.Run(append([]string{"uml-machine", "-q"}, args...)...); r.Code == 0 || !strings.Contains(r.Err, "is at work") && !strings.Contains(r.Err, "up") {
				t.Errorf("%v: %+v", args, r)
			}
		}
		west.Must("truncate", "-s", "+1M", disc)
	}, name, there)
	p.refused(r, 111, "has another size")
	west.WaitPing(ip)
	if now := m.PID(); now == up {
		t.Errorf("it was not stopped")
	}
	p.moves(name, there)
	west.WaitPing(ip)
}

// Discs that are not what they were, files that are not there, a filesystem that is full, a wire
// that is unplugged.
func TestMoveFaults(t *testing.T) {
	t.Parallel()
	p := newTwins(t, "sh", "-c", quickScan)
	west, east, there := p.hosts[0], p.hosts[1], p.address(1)

	// The customer puts a link to root's in a disc's place.
	west.Must("sh", "-c", "echo secret >/run/secret; chmod 600 /run/secret; truncate -s 24M /run/secret")
	m := p.down("link", lab.Settings{})
	r := p.meanwhile("> Q offer", func() {
		west.Must("sh", "-ec", "cd $0; mv ubd0 was; ln -s /run/secret ubd0; chown -h link ubd0", m.Jail)
	}, "link", there)
	if r.Code == 0 || !strings.Contains(r.Err, "ubd0") {
		t.Errorf("a link: %+v", r)
	}
	if got := east.Run("grep", "-rl", "secret", east.Machines); got.Code != 1 {
		t.Errorf("a link: it went: %+v", got)
	}
	west.Must("sh", "-ec", "cd $0; rm ubd0; mv was ubd0", m.Jail)
	p.moves("link", there)

	// A backing file that is no template goes nowhere.
	west.Must("truncate", "-s", "24M", "/run/base")
	m = p.down("cow", lab.Settings{"ubd1": "cow,/run/base"})
	west.Must("sh", "-ec", "cd $0; uml-disk cow create /run/base cow; chown cow cow", m.Jail)
	p.refused(p.run(0, "cow", there), 100, "/run/base is not on this host with the same in it")
	east.Must("sh", "-c", "echo another >/run/base; truncate -s 24M /run/base")
	p.refused(p.run(0, "cow", there), 100, "/run/base is not on this host with the same in it")
	east.Must("truncate", "-s", "0", "/run/base")
	east.Must("truncate", "-s", "24M", "/run/base")
	p.moves("cow", there)
	east.Must("uml-disk", "check", filepath.Join(east.Machines, "cow/jail/cow"))

	// Full there, and room again.
	east.Must("sh", "-ec", "mkdir /run/machines; mount -t tmpfs -o size=64M tmpfs /run/machines; mount --bind /run/machines $0", east.Machines)
	p.down("full", lab.Settings{})
	r = p.meanwhile("> D", func() { east.Run("dd", "if=/dev/zero", "of=/run/machines/fill", "bs=1M") }, "full", there)
	p.refused(r, 111, "no space left")
	east.Must("rm", "/run/machines/fill")
	p.moves("full", there)
	east.Must("umount", east.Machines)

	// Unplugged, both sides give up; plugged in, it goes on.
	p.down("plug", lab.Settings{})
	r = p.meanwhile("> D", func() { west.MustOther("ip", "link", "set", "wan1", "down") }, "plug", there)
	p.refused(r, 111, "plug stays here")
	west.MustOther("ip", "link", "set", "wan1", "up")
	p.moves("plug", there)
	for _, l := range p.hosts {
		if got := l.Must("sh", "-c", `ls "$UML_MACHINES"/.new 2>/dev/null || :`); got != "" {
			t.Errorf("left: %s", got)
		}
	}
}

// What answers is another version, or no uml-machine at all; and a key that gives nothing but moves.
func TestMoveStrangers(t *testing.T) {
	t.Parallel()
	p := newTwins(t, "sh", "-c", quickScan)
	west, east, there := p.hosts[0], p.hosts[1], p.address(1)
	p.down("web", lab.Settings{})
	for want, says := range map[string]string{
		"protocol 9 (uml-machine 9.9)":     `printf 'H\000\000\000\077{"protocol":9,"version":"9.9","host":"east","self":"somewhere"}'; cat >/dev/null`,
		"speaks another language":          "echo Debian GNU/Linux 12; cat >/dev/null",
		"what answers is no uml-machine":   `printf 'A\000\000\000\002{}'; cat >/dev/null`,
		"is not understood":                `printf 'H\000\000\000\002{"'; cat >/dev/null`,
		"Connection closed by remote host": "echo Connection closed by remote host >&2; exit 255",
	} {
		file := filepath.Join(west.Dir, "stranger")
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+says+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := p.run(0, "--ssh", file, "web", there)
		if r.Code != 100 && r.Code != 111 || !strings.Contains(r.Err, want) || strings.Count(r.Err, "fatal: ") != 1 {
			t.Errorf("%s: %+v", want, r)
		}
	}
	if west.Run("test", "-e", filepath.Join(west.Machines, "web/.uml-move")).Code == 0 {
		t.Error("a journal is left")
	}

	ssh := append(strings.Fields(p.ssh(0)), there)
	for _, what := range [][]string{
		append(ssh, "sh"), append(ssh, "uml-machine", "remove", "x", "--yes"), append(ssh[:len(ssh)-1:len(ssh)-1], "-tt", there),
		append(ssh[:len(ssh)-1:len(ssh)-1], "-s", there, "sftp"), append(ssh[:len(ssh)-1:len(ssh)-1], "-W", lab.OtherIP4+":22", there),
	} {
		r := west.Run(append([]string{"sh", "-c", `echo 'echo owned >/run/owned; id' | timeout 30 "$@"`, "sh"}, what...)...)
		if r.Code == 0 || strings.Contains(r.Out, "uid=") || east.Run("test", "-e", "/run/owned").Code == 0 {
			t.Errorf("%v: %+v", what, r)
		}
	}
	if got := east.Run("sh", "-c", `ls "$UML_MACHINES"`).Out; got != "" {
		t.Errorf("east has %s", got)
	}
}
