package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"uml/test/lab"
)

// A twins is two hosts on one segment with a router, each with its own accounts, machines and sshd.
type twins struct {
	t     *testing.T
	hosts [2]*lab.Lab
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
	for i, l := range p.hosts {
		key, err := os.ReadFile(p.hosts[1-i].Key() + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		env := []string{}
		for _, e := range l.Cmd(t.Context(), "/", "true").Env {
			if strings.HasPrefix(e, "UML_") || strings.HasPrefix(e, "PATH="+l.Bin) {
				env = append(env, e)
			}
		}
		line := fmt.Sprintf("command=\"env %s %s/uml-machine serve\",restrict %s", strings.Join(env, " "), l.Bin, key)
		if err := os.WriteFile(filepath.Join(l.Dir, "movers"), []byte(line), 0o644); err != nil {
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

// There and back again: the guest goes on with all that it had, and the router finds it.
func TestMoveThereAndBack(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	const name, ip = "web", "192.0.2.20"
	p.guest(name, ip)
	west := p.hosts[0]
	m := west.Machined(name)
	for round := range 2 {
		from := round % 2
		m.Guest(fmt.Sprintf("echo round %d >>/root/rounds; sync", round))
		r := p.move(from, name, p.address(1-from))
		if out, err := r.CombinedOutput(); err != nil {
			t.Fatalf("move from %d: %v\n%s", from, err, out)
		} else {
			t.Logf("%s", out)
		}
		west.WaitPing(ip)
	}
	if got := m.Guest("cat /root/rounds"); got != "round 0\nround 1\n" {
		t.Errorf("the guest has %q", got)
	}
}
