package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"uml/test/lab"
)

// A host is the lab's, with the guests and what is known of them.
type host struct {
	*lab.Lab
	options
	t       lab.TB
	begun   time.Time
	guests  []*guest
	ping    *pinger
	ear     *ear
	tally   tally
	still   nostart
	samples []sample
	kept    string // logs
}

// soak returns how much was found.
func soak(t lab.TB, o options) int {
	h := &host{Lab: lab.New(t), options: o, t: t, begun: time.Now()}
	fmt.Printf("soak: %d guests, %d minutes, an act each %v, SEED=%d, from %s\n", o.guests, o.minutes, o.every, o.seed, time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	h.prepare()
	bare := slices.DeleteFunc(h.inventory(), func(l string) bool { return strings.HasPrefix(l, "descriptors") }) // nobody has logged in yet
	h.makeGuests()
	h.each(func(g *guest) {
		g.must("uml-ctl", "activate", g.name)
		g.settle("the first start", 0)
		g.customer(0, "status")
	})
	h.each(func(g *guest) { g.be(false); g.must("uml-ctl", "deactivate", g.name) })
	quiet := h.inventory()
	h.say("all have run once, and are down: that is what the end is compared with")

	looking, enough := context.WithCancel(t.Context())
	defer enough()
	var acting, watching sync.WaitGroup
	watching.Go(func() { h.watch(looking) })
	h.each(func(g *guest) { g.must("uml-ctl", "activate", g.name); g.settle("the first start", 0) })
	h.say("all are up")
	ctx, stop := context.WithTimeout(t.Context(), time.Duration(o.minutes)*time.Minute)
	defer stop()
	watching.Go(func() { h.weigh(looking) })
	acting.Go(func() { h.administer(ctx) })
	for _, g := range h.guests {
		acting.Go(func() { g.live(ctx) })
	}
	acting.Wait()
	h.say("no more acts")
	h.settled()
	enough()
	watching.Wait()
	h.each(func(g *guest) { g.must("uml-ctl", "deactivate", g.name) })
	h.compare("after all were deactivated", quiet, h.inventory())
	h.unlocked()
	h.readLogs()
	h.each(func(g *guest) { g.must("uml-machine", "-q", "remove", "--yes", g.name) })
	h.compare("after all were removed", bare, slices.DeleteFunc(h.inventory(), func(l string) bool { return strings.HasPrefix(l, "descriptors") }))
	h.flat()
	return h.report()
}

// prepare brings up what a host has that serves guests.
func (h *host) prepare() {
	h.OwnEtc()
	h.SetHost("retry-delay", "2")
	h.SetHost("external", "ext0")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		h.t.Fatalf("soak: %v", err)
	}
	h.Key() // once, before many ask for it
	h.Template("soak", map[string]string{"bin/forge": string(self)})
	svscan := h.Cmd(context.Background(), "/", "svscan", h.Service)
	log, err := os.Create(filepath.Join(h.Dir, "svscan.log"))
	if err != nil {
		h.t.Fatalf("soak: %v", err)
	}
	svscan.Stdout, svscan.Stderr = log, log
	if err := svscan.Start(); err != nil {
		h.t.Fatalf("soak: %v", err)
	}
	go svscan.Wait()
	conf, err := os.ReadFile("examples/sshd/uml.conf")
	if err != nil {
		h.t.Fatalf("soak: from the repository's root: %v", err)
	}
	h.SSHD(string(conf))
	h.Shelld()
	h.Must("uml-net", "restore")
	h.Must("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding") // which the first prefix does, and stays
	h.ping = h.newPinger()
	h.ear = h.newEar()
}

// makeGuests: even ones read a template and write a COW file, odd ones have a disc of their own,
// every third has IPv6.
func (h *host) makeGuests() {
	for i := range h.options.guests {
		g := &guest{host: h, number: i, name: fmt.Sprintf("g%02d", i), random: rand.New(rand.NewPCG(h.seed, uint64(i)))}
		g.address = g.ip4(0)
		if i%3 == 0 {
			g.prefix = g.ip6(0)
		}
		h.guests = append(h.guests, g)
	}
	h.each(func(g *guest) {
		args := []string{"uml-machine", "-q", "new", g.name, "--template", "soak", "--ip4", g.address, "--key", h.Key() + ".pub", "--mem", "64M", "--swap", "16M"}
		if g.number%2 == 0 {
			args = append(args, "--cow")
		}
		if g.prefix != "" {
			args = append(args, "--ip6", g.prefix)
		}
		g.must(args...)
		g.Machine = h.Machined(g.name)
		if said := h.Must("sh", "-c", "stat -c %U:%G "+g.Dir+"/log/main; id umllog; grep umllog /etc/passwd /etc/group"); !strings.HasPrefix(said, "umllog:umllog\n") {
			g.find("its log is of %s", said)
		}
		h.Must("install", "-o", g.name, "-g", g.name, "-m", "600", "/dev/null", filepath.Join(g.Jail, "data"))
		h.Must("truncate", "-s", "1M", filepath.Join(g.Jail, "data"))
	})
	var machines []*lab.Machine
	for _, g := range h.guests {
		machines = append(machines, g.Machine)
		g.opens = h.watchDisc(g)
	}
	h.Accounts(machines...)
	h.say("made")
}

// each does something to all guests, three at a time.
func (h *host) each(do func(*guest)) {
	var all sync.WaitGroup
	var done atomic.Int32
	slots := make(chan struct{}, 3)
	for _, g := range h.guests {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(g)
			done.Add(1)
		})
	}
	all.Wait()
	if h.t.Context().Err() != nil || int(done.Load()) < len(h.guests) { // the lab has given up
		h.t.Fatalf("soak: not done for all guests")
	}
}

func (h *host) say(format string, args ...any) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%7.1fs %s (load %s)\n", time.Since(h.begun).Seconds(), fmt.Sprintf(format, args...), strings.Join(strings.Fields(string(load))[:1], ""))
}
