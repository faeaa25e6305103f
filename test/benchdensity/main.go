// Command benchdensity measures what memory of the host's Debian guests of one template take,
// and what of it comes back: as started, idle, balanced, given back, at work; with a base
// disc that all share and with copies; with more and less RAM; and what merging (KSM) and
// compressing (zram) of their RAM would bring. docs/density.md has its tables.
//
// The host's own caches and /sys/kernel/mm/ksm are used for the time being; a zram0 that
// nobody has set up is set up and reset.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"uml/test/lab"
)

func main() {
	n := flag.Int("n", 30, "guests of one template")
	few := flag.Int("few", 4, "guests of each other kind")
	atOnce := flag.Int("at-once", 3, "guests that boot together")
	idle := flag.Duration("idle", 3*time.Minute, "how long idle is")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) {
		b := &bench{l: lab.New(t), t: t, atOnce: *atOnce, idle: *idle, next: 20}
		b.template()
		if *n > 0 {
			b.main(*n)
		}
		b.kinds(*few)
	}))
}

type bench struct {
	l      *lab.Lab
	t      lab.TB
	key    string
	base   string // the template's image
	atOnce int
	idle   time.Duration
	next   int // of the addresses
}

func (b *bench) template() {
	l := b.l
	l.OwnEtc()
	b.key = l.Key()
	l.Must("uml-kernel", "add", "user-mode-linux", "debian")
	if r := l.Online("uml-template", "-q", "build", "bookworm", "debian:bookworm"); r.Code != 0 {
		b.t.Fatalf("bench-density: %s%s", r.Out, r.Err)
	}
	b.base = filepath.Join(l.Dir, "templates", filepath.Base(strings.TrimSpace(l.Must("sh", "-c", "echo "+lab.Templates+"/*.img")))) // as it is seen from outside
}

// start makes and boots guests, some at once, and waits until each is through with booting.
func (b *bench) start(name string, n int, flags ...string) (g *guests) {
	g = &guests{b: b}
	for i := range n {
		who := fmt.Sprintf("%s%d", name, i)
		args := []string{"uml-machine", "-q", "new", who, "--template", "bookworm", "--key", b.key + ".pub", "--ip4", fmt.Sprintf("192.0.2.%d", b.next)}
		b.next++
		b.l.Must(append(args, flags...)...)
		g.all = append(g.all, b.l.Machined(who))
	}
	dropCaches() // what making them has read
	g.before = available()
	g.some(func(m *lab.Machine) {
		m.Activate()
		b.ssh(m, "systemctl is-system-running --wait; :")
	})
	for _, m := range g.all {
		g.pids = append(g.pids, m.PID())
	}
	return g
}

// ssh has a guest's root run a line, as soon as the guest lets it.
func (b *bench) ssh(m *lab.Machine, line string) {
	b.l.Wait("ssh of "+m.Name, func() bool {
		return b.l.Other("ssh", "-F", "none", "-q", "-i", b.key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "ConnectTimeout=20", "root@"+m.IP4, line).Code == 0
	})
}

// read has all guests read all their programs, as work does after a while.
func (g *guests) read() {
	g.some(func(m *lab.Machine) { g.b.ssh(m, "find /usr -xdev -type f -exec cat {} + >/dev/null; sync") })
}

// some does something for all guests, as many at once as may boot together.
func (g *guests) some(do func(*lab.Machine)) {
	for at := 0; at < len(g.all); at += g.b.atOnce {
		var wg sync.WaitGroup
		for _, m := range g.all[at:min(len(g.all), at+g.b.atOnce)] {
			wg.Go(func() { do(m) })
		}
		wg.Wait()
	}
}

func (g *guests) stop() {
	g.some(func(m *lab.Machine) { g.b.l.Must("uml-ctl", "deactivate", m.Name) })
	for _, m := range g.all {
		g.b.l.Must("uml-machine", "remove", m.Name, "--yes")
	}
}

// main is what becomes of guests that share a base disc.
func (b *bench) main(n int) {
	fmt.Printf("%d guests of one template of Debian 12, mem 128M, mem-min 48M, COW on one base disc; MB\n", n)
	head()
	g := b.start("m", n, "--cow", "--mem", "128M", "--set", "mem-min=48M")
	g.row("as started")
	time.Sleep(b.idle)
	g.row(fmt.Sprintf("idle for %v", b.idle))
	cost := b.cost(n)
	b.l.SetHost("mem-reserve", "60T")
	runs := b.balance()
	g.row(fmt.Sprintf("taken by uml-balance, %d runs", runs))
	b.l.SetHost("mem-reserve", "1M")
	runs = b.balance()
	g.row(fmt.Sprintf("given back by it, %d runs", runs))
	g.read()
	g.row("all have read /usr")
	b.l.SetHost("mem-reserve", "60T")
	runs = b.balance()
	g.row(fmt.Sprintf("taken again, %d runs", runs))
	fmt.Println("\n" + cost)
	g.merging()
	g.compressing()
	g.stop()
}

// balance runs uml-balance until it has nothing to do.
func (b *bench) balance() (runs int) {
	for runs = 0; runs < 12; runs++ {
		if b.l.Must("uml-balance", "--young", "0s", "--timeout", "20s") == "" {
			break
		}
	}
	return runs
}

// cost is what a look at all guests takes.
func (b *bench) cost(n int) string {
	empty := b.l.Dir + "/none"
	b.l.Must("mkdir", "-p", empty)
	look := func(machines string, before ...string) lab.Result {
		return b.l.Run(append(before, "uml-balance", "--machines", machines, "--young", "0s", "--timeout", "20s", "--dry-run")...)
	}
	calls := func(machines string) float64 {
		r := look(machines, "strace", "-f", "-c", "-qq", "-e", "trace=!futex,nanosleep,sched_yield,tgkill,getpid,rt_sigreturn", "-o", "|tail -n1 >&2") // without what Go does to pass the time
		f := strings.Fields(r.Err)
		if len(f) < 4 {
			return 0
		}
		count, _ := strconv.ParseFloat(f[3], 64)
		return count
	}
	spent := func(machines string) (wall, cpu float64) {
		r := look(machines, "bash", "-c", `TIMEFORMAT='%R %U %S'; time "$@" >/dev/null`, "bash")
		f := strings.Fields(r.Err)
		if r.Code != 0 || len(f) != 3 {
			b.t.Fatalf("bench-density: %s", r.Err)
		}
		wall, _ = strconv.ParseFloat(f[0], 64)
		user, _ := strconv.ParseFloat(f[1], 64)
		system, _ := strconv.ParseFloat(f[2], 64)
		return wall, user + system
	}
	wall, cpu := spent(b.l.Machines)
	_, base := spent(empty)
	return fmt.Sprintf("uml-balance --dry-run: %.2f s for %d guests; a guest %.1f ms of CPU and %.0f system calls", wall, n, 1000*(cpu-base)/float64(n), (calls(b.l.Machines)-calls(empty))/float64(n))
}

// kinds are guests that differ in one thing.
func (b *bench) kinds(n int) {
	fmt.Printf("\n%d guests each, as started and when all have read /usr; MB\n", n)
	head()
	for _, k := range []struct {
		name  string
		flags []string
	}{
		{"COW, mem 64M", []string{"--cow", "--mem", "64M"}},
		{"COW, mem 128M", []string{"--cow", "--mem", "128M"}},
		{"COW, mem 256M", []string{"--cow", "--mem", "256M"}},
		{"COW, mem 1G", []string{"--cow", "--mem", "1G"}},
		{"copies, mem 128M", []string{"--mem", "128M"}},
	} {
		g := b.start("k", n, k.flags...)
		g.row(k.name)
		g.read()
		g.row("  all have read /usr")
		g.stop()
	}
}
