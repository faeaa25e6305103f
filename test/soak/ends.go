package main

import (
	"strconv"
	"strings"
	"time"

	"uml/test/lab"
)

func killKernel(g *guest) {
	if pid := g.pid(); pid != 0 {
		g.may([]string{"kill", "-9", strconv.Itoa(pid)}, 1) // it may have ended
	}
}

func killAll(g *guest) {
	if all := g.processes(); len(all) > 0 {
		g.may(append([]string{"kill", "-9"}, all...), 1)
	}
}

// processes are those of its account: its kernel's.
func (g *guest) processes() (all []string) {
	for _, pid := range g.Lab.Processes(func(s lab.Status) bool { return s.Int("Uid") == g.UID && !strings.HasPrefix(s["State"], "Z") }) {
		all = append(all, strconv.Itoa(pid))
	}
	return all
}

// down waits until nothing supervises a process of it, and sees for a while that it stays so.
func (g *guest) down() {
	for end := time.Now().Add(g.bound); g.pid() != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			g.find("does not end: %s", g.Lab.Run("uml-ctl", "list", g.name).Out)
			return
		}
	}
	g.note("down")
	for range 2 + g.random.IntN(5) {
		time.Sleep(time.Second)
		if pid := g.pid(); pid != 0 {
			g.find("is process %d, and should be down: %s", pid, g.Lab.Run("uml-ctl", "list", g.name).Out)
		}
	}
	// A kernel that was terminated answers to nobody; svc -d may leave no process either.
	if g.answers() {
		g.find("answers, and should be down")
	}
	g.count("checks", "a guest that should be down is")
}

func once(g *guest) {
	g.svc("-o")
	g.later("poweroff -f")
	g.down()
	g.svc("-u")
}

func deactivate(g *guest) {
	g.must("uml-ctl", "deactivate", g.name)
	if out := g.Lab.Run("sh", "-c", "ip link show tap_"+g.name+" 2>/dev/null; ip route | grep -w "+g.address+"; ip neigh show proxy | grep -w "+g.address).Out; out != "" {
		g.find("is deactivated, and has left\n%s", out)
	}
	if left := g.processes(); len(left) > 0 {
		g.find("is deactivated, and has processes %v", left)
	}
	g.must("uml-ctl", "activate", g.name)
}

// moveAddress gives it another of its addresses, in its settings and inside.
func moveAddress(g *guest) {
	to := g.address
	for to == g.address {
		to = g.ip4(g.random.IntN(3))
	}
	g.note("from %s to %s", g.address, to)
	g.edit(g.address, to)
	g.Set("ip4", to)
	old := g.address
	g.freed.Delete(to)
	g.mu.Lock()
	g.address = to
	g.mu.Unlock()
	g.must("uml-ctl", "restart", g.name)
	g.freed.Store(old, time.Now())
}

func movePrefix(g *guest) {
	if g.prefix == "" {
		g.must("uml-ctl", "restart", g.name)
		return
	}
	to := g.prefix
	for to == g.prefix {
		to = g.ip6(g.random.IntN(3))
	}
	g.note("from %s to %s", g.prefix, to)
	g.edit(strings.TrimSuffix(g.prefix, "/64"), strings.TrimSuffix(to, "/64"))
	g.Set("ip6", to)
	g.prefix = to
	g.must("uml-ctl", "restart", g.name)
	// From the host: the guest's way to elsewhere comes with radvd's advertisements.
	two := strings.TrimSuffix(to, "/64") + "2"
	for end := time.Now().Add(g.bound); g.Lab.Run("ping", "-n", "-q", "-c1", "-W1", two).Code != 0; {
		if time.Since(end) > g.still.overlap(end) {
			g.find("%s does not answer", two)
			return
		}
	}
}

// edit changes the guest's own network script.
func (g *guest) edit(from, to string) {
	said := g.inside("sed -i 's|" + from + "|" + to + "|g' /etc/uml-network /etc/hosts && sync && grep -c '" + to + "' /etc/uml-network")
	if strings.TrimSpace(said) == "" || strings.TrimSpace(said) == "0" {
		g.find("could not be given another address inside: %q", said)
	}
}

func keptDisc(g *guest) {
	g.must("uml-ctl", "attach", "--keep", g.name, "ubd3", "data")
	old := g.pid()
	g.must("uml-ctl", "restart", g.name)
	g.settle("a restart with a disc that was attached to stay", old)
	g.be(false)
	if said := g.inside("ls /dev/ubdd"); strings.TrimSpace(said) != "/dev/ubdd" {
		g.find("the disc that was attached to stay is not there: %q", said)
	}
	g.must("uml-ctl", "detach", "--keep", g.name, "ubd3")
	g.Unset("ubd3")
}
