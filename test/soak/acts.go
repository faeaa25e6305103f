package main

import (
	"math/rand/v2"
	"strings"
	"time"
)

// An act is one thing that is done to a guest that is up.
type act struct {
	name   string
	weight int
	ends   bool // another kernel has to come after it
	do     func(*guest)
}

type deck []act

func (d deck) pick(random *rand.Rand) act {
	sum := 0
	for _, a := range d {
		sum += a.weight
	}
	n := random.IntN(sum)
	for _, a := range d {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	panic("no act")
}

var acts = deck{
	// Ended from inside.
	{"the guest reboots at once", 3, true, func(g *guest) { g.later("reboot -f") }},
	{"the guest reboots in order", 2, true, func(g *guest) { g.later("reboot") }},
	{"the guest panics", 3, true, func(g *guest) { g.later("echo c >/proc/sysrq-trigger") }},
	{"the guest powers off at once", 3, true, func(g *guest) { g.later("poweroff -f") }},
	{"the guest powers off in order", 2, true, func(g *guest) { g.later("poweroff") }},
	// From outside.
	{"kill -9 of the kernel", 3, true, killKernel},
	{"kill -9 of all its processes", 3, true, killAll},
	{"svc -t", 3, true, func(g *guest) { g.svc("-t") }},
	{"svc -k", 3, true, func(g *guest) { g.svc("-k") }},
	{"svc -o and its end", 2, true, once},
	{"svc -d, svc -u", 2, true, func(g *guest) { g.svc("-d"); g.down(); g.svc("-u") }},
	{"uml-ctl stop, up", 3, true, func(g *guest) { g.must("uml-ctl", "stop", g.name); g.down(); g.must("uml-ctl", "up", g.name) }},
	{"uml-ctl down, up", 1, true, func(g *guest) { g.must("uml-ctl", "down", g.name); g.down(); g.must("uml-ctl", "up", g.name) }},
	{"uml-ctl restart", 3, true, func(g *guest) { g.must("uml-ctl", "restart", g.name) }},
	{"uml-ctl halt", 2, true, func(g *guest) { g.must("uml-ctl", "halt", g.name) }},
	{"uml-ctl reboot", 1, true, func(g *guest) { g.must("uml-ctl", "reboot", g.name) }},
	{"uml-ctl cad", 2, true, func(g *guest) { g.must("uml-ctl", "cad", g.name) }},
	{"uml-ctl deactivate, activate", 2, true, deactivate},
	{"the customer restarts it", 2, true, func(g *guest) { g.customer(0, "restart") }},
	{"the customer kills and starts it", 1, true, func(g *guest) { g.customer(0, "kill"); g.down(); g.customer(0, "start") }},
	{"ended while paused", 1, true, func(g *guest) { g.must("uml-ctl", "pause", g.name); g.doze(2); g.svc("-k") }},
	{"stopped while paused", 1, true, func(g *guest) {
		g.must("uml-ctl", "pause", g.name)
		g.must("uml-ctl", "restart", "--timeout", "5s", g.name)
	}},
	{"ended with a disc attached", 2, true, func(g *guest) { g.attach(); killKernel(g) }},
	{"a disc attached to stay, restart, detached", 1, true, keptDisc},
	{"another address, restart", 4, true, moveAddress},
	{"another prefix, restart", 2, true, movePrefix},
	// Goes on.
	{"memory taken and given", 4, false, moveMemory},
	{"a disc attached, written, detached", 4, false, func(g *guest) { g.attach(); g.detach() }},
	{"forgeries", 5, false, forgeries},
	{"pause, resume", 3, false, func(g *guest) {
		g.must("uml-ctl", "pause", g.name)
		g.doze(5)
		g.must("uml-ctl", "resume", g.name)
	}},
	{"svc -p, svc -c", 1, false, func(g *guest) { g.svc("-p"); g.doze(3); g.svc("-c") }},
	{"the customer looks", 4, false, func(g *guest) { g.customer(0, "status"); g.customer(0, "log", "-n", "5") }},
	{"root logs in by ssh", 2, false, rootLogin},
	{"the console", 3, false, joinConsole},
	{"uml-check of it", 3, false, func(g *guest) { g.may([]string{"uml-check", g.name}, 0) }},
	{"a start by hand", 2, false, byHand},
	{"uml-net up of it", 1, false, func(g *guest) { g.must("uml-net", "up", g.name) }},
	{"uml-net down of it", 1, false, func(g *guest) { g.refused("the guest runs", "uml-net", "down", g.name) }},
}

// blows are what hits a guest at whatever moment of its start.
var blows = []act{
	{"kill -9 of what is supervised", 1, true, killKernel},
	{"kill -9 of all its processes", 1, true, killAll},
	{"svc -t", 1, true, func(g *guest) { g.svc("-t") }},
	{"svc -k", 1, true, func(g *guest) { g.svc("-k") }},
	{"svc -d, svc -u", 1, true, func(g *guest) { g.svc("-d"); g.svc("-u") }},
	// Refused until svscan, which looks each five seconds, has seen who was activated just before.
	{"uml-ctl restart", 1, true, func(g *guest) { g.may([]string{"uml-ctl", "restart", "--timeout", "10s", g.name}, 111) }},
	{"a start by hand", 1, true, func(g *guest) { g.may([]string{"timeout", "-k", "60", "0.2", "uml-run", g.Dir}, 111, 124) }},
	{"memory", 1, true, func(g *guest) { g.may([]string{"uml-ctl", "memory", g.name, "60M"}, 111) }},
	{"a disc attached and detached", 1, true, func(g *guest) {
		g.may([]string{"uml-ctl", "attach", g.name, "ubd3", "data"}, 111)
		g.may([]string{"uml-ctl", "detach", g.name, "ubd3"}, 111)
	}},
}

func (g *guest) svc(option string) { g.must("svc", option, g.Link()) }

// doze is some time up to so many seconds.
func (g *guest) doze(most int) {
	time.Sleep(time.Duration(g.random.Float64() * float64(most) * float64(time.Second)))
}

// refused: exit 111, and it says so.
func (g *guest) refused(want string, args ...string) {
	r := g.Lab.RunIn("/", args...)
	g.note("%s: %d", strings.Join(args, " "), r.Code)
	if r.Code != 111 || !strings.Contains(r.Err, want) {
		g.find("%s: exit %d, want 111 with %q\n%s%s", strings.Join(args, " "), r.Code, want, r.Out, r.Err)
	}
	g.judge(g, args, r, 111)
}
