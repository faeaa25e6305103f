package main

import (
	"fmt"
	"strings"
	"time"

	"uml/test/lab"
)

func moveMemory(g *guest) {
	g.may([]string{"uml-ctl", "memory", g.name, fmt.Sprintf("%dM", 48+g.random.IntN(14))}, 111)
	g.doze(10)
	g.must("uml-ctl", "memory", g.name, "64M")
}

func (g *guest) attach() {
	g.must("uml-ctl", "attach", g.name, "ubd3", "data")
	said := g.inside("i=0; until [ -b /dev/ubdd ] || [ $((i+=1)) = 20 ]; do sleep 0.2; done; dd if=/dev/zero of=/dev/ubdd bs=4k count=64 conv=fsync 2>&1 && echo written")
	if !strings.Contains(said, "written") {
		g.find("an attached disc is not written: %q", said)
	}
}

func (g *guest) detach() { g.must("uml-ctl", "detach", g.name, "ubd3") }

// customer logs in as its account by ssh from the other host and has its shell do something.
func (g *guest) customer(code int, command ...string) {
	begun := time.Now()
	for {
		r := g.Lab.RunIn("/", append(g.SSH(g.name, "-o", "ConnectTimeout=20"), command...)...)
		g.note("ssh %s@host %s: %d", g.name, strings.Join(command, " "), r.Code)
		g.count("log-ins", "of a customer")
		if r.Code == 111 && g.still.overlap(begun) > 0 { // nobody is let in
			g.judge(g, command, r, 111)
			time.Sleep(2 * time.Second)
			continue
		}
		g.judge(g, append([]string{"ssh", g.name + "@host"}, command...), r, code)
		return
	}
}

func rootLogin(g *guest) {
	var r lab.Result
	for range 20 { // its sshd is later than its shell
		r = g.Lab.Other("ssh", "-F", "none", "-i", g.Key(), "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=10", "root@"+g.address, "hostname")
		if r.Code == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	g.count("log-ins", "of root into a guest")
	if strings.TrimSpace(r.Out) != g.name {
		g.find("ssh root@%s hostname: exit %d, %q, %s", g.address, r.Code, r.Out, r.Err)
	}
}

func joinConsole(g *guest) {
	r := g.Lab.Run("sh", "-c", "(echo; echo 'echo soak $((6*7))'; sleep 1) | timeout 60 uml-ctl console "+g.name)
	g.note("uml-ctl console: %d", r.Code)
	g.count("log-ins", "at a console")
	if r.Code != 0 || !strings.Contains(r.Out, "soak 42") {
		g.find("uml-ctl console: exit %d\n%s%s", r.Code, r.Out, r.Err)
	}
}

// byHand: the guest runs, and is refused.
func byHand(g *guest) {
	g.refused("lock: held by process ", "timeout", "-k", "60", "60", "uml-run", g.Dir)
}
