package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// EastIP4 is the second of Twins. The first is at HostIP4, as in any lab.
const EastIP4 = "192.0.2.11"

// Twins makes two hosts on one segment with the first one's router, each with its own accounts,
// machines, svscan and sshd. Root's key of each runs uml-machine serve on both, and nothing else.
func Twins(t TB) [2]*Lab {
	t.Helper()
	hosts := [2]*Lab{New(t), New(t)}
	west, east := hosts[0], hosts[1]
	east.Must("ip", "link", "del", "ext0")
	// The router's end of the link becomes a port of a switch, to which east is joined too.
	if out, err := exec.Command("nsenter", "-t", strconv.Itoa(west.PID), "-n",
		"ip", "link", "add", "wan1", "type", "veth", "peer", "name", "ext0", "netns", strconv.Itoa(east.PID)).CombinedOutput(); err != nil {
		t.Fatalf("join the hosts: %v\n%s", err, out)
	}
	west.Must("ip", "link", "set", "wan1", "netns", "other")
	west.MustOther("sh", "-ec", "ip link add sw0 type bridge; ip addr flush dev wan0; ip link set wan0 master sw0; ip link set wan1 master sw0 up; ip link set sw0 up; ip addr add "+OtherIP4+"/24 dev sw0")
	east.Must("sh", "-ec", "ip addr add "+EastIP4+"/24 dev ext0; ip link set ext0 up; ip route add default via "+OtherIP4)
	for _, l := range hosts {
		l.OwnEtc()
		l.SetHost("external", "ext0")
		l.SetHost("ping-timeout", "200")
		l.SetHost("retry-delay", "1")
		l.Must("sed", "-i", "s/^root:[^:]*:/root:*:/", "/etc/shadow")
		l.SSHD("PermitRootLogin prohibit-password\nStrictModes no\nAuthorizedKeysFile " + l.movers())
		svscan := l.daemon("/", "svscan", l.Service)
		if err := svscan.Start(); err != nil {
			t.Fatalf("lab: %v", err)
		}
		go svscan.Wait()
	}
	for _, l := range hosts {
		env := []string{}
		for _, e := range l.Cmd(t.Context(), "/", "true").Env {
			if strings.HasPrefix(e, "UML_") || strings.HasPrefix(e, "PATH="+l.Bin) {
				env = append(env, e)
			}
		}
		for _, from := range hosts {
			l.Mover(fmt.Sprintf("command=\"env %s %s/uml-machine serve\",restrict", strings.Join(env, " "), l.Bin), from.Key())
		}
	}
	return hosts
}

// Mover lets a key in as root on one of Twins, with options of sshd(8)'s authorized_keys.
func (l *Lab) Mover(options, key string) {
	l.t.Helper()
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	f, err := os.OpenFile(l.movers(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %s", options, public); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
}

func (l *Lab) movers() string { return filepath.Join(l.Dir, "movers") }

// RootSSH is the command line of ssh from one of Twins to the other, with a key.
func RootSSH(key string) string {
	return fmt.Sprintf("ssh -F none -i %s -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", key)
}
