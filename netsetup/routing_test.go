package netsetup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"uml/settings"
)

// With publish none a routing daemon tells the routers where a guest is: here FRR, as
// docs/routing.md configures it. A guest that moves is followed, and nobody asks for it
// by ARP.
func TestRoutingDaemon(t *testing.T) {
	t.Parallel()
	router, hosts := newSpace(t), []*space{newSpace(t), newSpace(t)}
	conf := documented(t, "../docs/routing.md", "router ospf")
	router.sh("ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward")
	var ports string
	for i, s := range hosts {
		router.sh(fmt.Sprintf(`ip link add port%[1]d type veth peer name eth0 netns /proc/%[2]d/fd/%[3]d
			ip addr add 198.51.100.%[4]d/30 dev port%[1]d; ip link set port%[1]d up`, i, os.Getpid(), s.fd, 4*i+1))
		s.sh(fmt.Sprintf("ip link set lo up; ip addr add 198.51.100.%d/30 dev eth0; ip link set eth0 up", 4*i+2))
		ports += strings.Replace(section(conf, "interface eth0"), "eth0", fmt.Sprint("port", i), 1)
		daemons(t, s, conf)
	}
	daemons(t, router, ports+"router ospf\n")
	h := &settings.Host{Dir: "/etc/uml-run", External: "eth0"}
	m := machine("192.0.2.20/32")
	onto := func(s *space) *guest {
		t.Helper()
		w := world{host: s}
		w.in(t, "Up", func() error { return up(context.Background(), m, h) })
		g := w.guest(t, m.TAP)
		g.sh("ip addr add 192.0.2.20/32 dev eth0; ip route add default dev eth0")
		return g
	}
	leads := func(where string) {
		t.Helper()
		eventually(t, "the router's route "+where, func() (bool, string) {
			got := router.sh("ip route show 192.0.2.20")
			return where == "" && got == "" || where != "" && strings.Contains(got, where), got
		})
	}
	g := onto(hosts[0])
	leads("via 198.51.100.2 dev port0 proto ospf")
	ping(t, router, "192.0.2.20")
	g.die()
	world{host: hosts[0]}.in(t, "Down", func() error { return Down(m, h) })
	leads("")
	onto(hosts[1])
	leads("via 198.51.100.6 dev port1 proto ospf")
	ping(t, router, "192.0.2.20")
	for _, s := range append(hosts, router) {
		if got := s.sh("ip neigh show proxy; ip neigh show 192.0.2.20 | grep -v dev.tap_bara || true"); got != "" {
			t.Errorf("somebody asked or answered for the guest by ARP:\n%s", got)
		}
	}
}

// documented is the block of a document that holds a line.
func documented(t *testing.T, file, line string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "```\n") {
		if i%2 == 1 && strings.Contains("\n"+block, "\n"+line+"\n") {
			return block
		}
	}
	t.Fatalf("%s has no block with %q", file, line)
	return ""
}

// section is a line with those below it that are indented.
func section(conf, head string) (text string) {
	in := false
	for l := range strings.Lines(conf) {
		in = l == head+"\n" || in && strings.HasPrefix(l, " ")
		if in {
			text += l
		}
	}
	return text
}

// daemons runs FRR in a namespace.
func daemons(t *testing.T, s *space, conf string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "frr") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "frr.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.sh("chown frr:frr " + dir)
	for _, d := range []string{"zebra", "ospfd"} {
		log := filepath.Join(dir, d+".log")
		cmd := exec.Command("/usr/lib/frr/"+d, "-f", "/dev/null", "-i", filepath.Join(dir, d+".pid"), "-z", filepath.Join(dir, "zserv"),
			"--vty_socket", dir, "-A", "127.0.0.1", "-P", "0", "--log", "file:"+log)
		s.do(func() { err = cmd.Start() })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if text, _ := os.ReadFile(log); t.Failed() {
				t.Logf("%s:\n%s", d, text)
			}
		})
		eventually(t, d+" answers", func() (bool, string) {
			out, err := s.try(fmt.Sprintf("vtysh --vty_socket %s -d %s -c 'show version'", dir, d))
			return err == nil, out
		})
	}
	if out, err := s.try(fmt.Sprintf("vtysh --vty_socket %s -f %s", dir, file)); err != nil {
		t.Fatalf("configure: %v\n%s", err, out)
	}
}
