package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uml/test/lab"
)

// A turn is one move of one guest, and what was seen of it.
type turn struct {
	b    *bench
	m    *lab.Machine // on west
	used int64        // bytes of its disc that are data

	pinger *pinger
	pid    int // the guest's on west
	write  int64
	was    map[int64][32]byte // sums of the disc's pages after the first pass
	begun  time.Time
	mark   float64 // the counters when the first pass began, or the rest

	first, all               time.Duration
	bytes                    [2]float64 // both ways, of the first pass and of the rest
	changed                  int64
	silent, back             time.Time // last answer before, first after
	gone, linked, supervised time.Time
	client, server           int64 // most that was resident, bytes
}

// turn makes a guest on west that is up and has its data.
func (b *bench) turn(size, data, write int64) *turn {
	b.last++
	name, ip := fmt.Sprintf("web%d", b.last), fmt.Sprintf("192.0.2.%d", 20+b.last)
	m := b.west.Machine(name, lab.Settings{"ip4": ip})
	b.west.SetHome(name, m.Dir)
	if err := image(m, size); err != nil {
		b.t.Fatalf("bench-move: %v", err)
	}
	b.west.Must("uml-ctl", "activate", name)
	b.west.WaitPing(ip)
	g := &turn{b: b, m: m, write: write / page}
	if data > 0 {
		m.Guest(fmt.Sprintf("dd if=/dev/urandom of=/root/data bs=1M count=%d 2>/dev/null; sync", data>>20))
	}
	g.pid = guestOf(b.west, name)
	st, err := os.Stat(g.disc())
	if err != nil {
		b.t.Fatalf("bench-move: %v", err)
	}
	b.west.Must("sync", "-f", g.disc())
	g.used = blocks(st)
	g.pinger = b.ping(ip)
	g.begun, g.mark = time.Now(), b.wire()
	return g
}

func (g *turn) disc() string { return filepath.Join(g.m.Jail, "ubd0") }

// passed is after the first pass: now the guest writes.
func (g *turn) passed(there string) {
	g.first = time.Since(g.begun)
	now := g.b.wire()
	g.bytes[0] = now - g.mark
	if g.write > 0 {
		g.was = g.b.sums(there)
		if out := g.m.Guest(fmt.Sprintf("/bin/benchmove scatter /root/data %d", g.write)); !strings.Contains(out, "scattered") {
			g.b.t.Fatalf("bench-move: the guest said %q", out)
		}
	}
	g.mark = g.b.wire()
}

// watch notes when what comes next happens: all is the same for both ways.
func (g *turn) watch() (seen chan struct{}) {
	seen = make(chan struct{})
	link, there := filepath.Join(g.b.east.Service, "uml-"+g.m.Name), filepath.Join(g.b.east.Machines, g.m.Name, "supervise")
	go func() {
		defer close(seen)
		is := func(file string) func() bool {
			return func() bool { _, err := os.Lstat(file); return err == nil }
		}
		proc := fmt.Sprintf("/proc/%d/stat", g.pid)
		g.gone = await(g.b.t, "the guest's end", func() bool {
			text, err := os.ReadFile(proc)
			return err != nil || strings.Contains(string(text), ") Z ")
		})
		g.linked = await(g.b.t, "the link", is(link))
		g.supervised = await(g.b.t, "supervise", is(there))
	}()
	return seen
}

// done is when the guest answers from east; kept is the disc that west has of it.
func (g *turn) done(kept string) {
	g.b.west.WaitPing(g.m.IP4)
	g.bytes[1] = g.b.wire() - g.mark
	g.all = time.Since(g.begun)
	time.Sleep(200 * time.Millisecond)
	g.silent, g.back = g.pinger.gap(g.b.t)
	if g.write > 0 {
		for at, sum := range g.b.sums(kept) {
			if g.was[at] != sum {
				g.changed += page
			}
		}
	}
}

// end takes the guest away.
func (g *turn) end() {
	g.b.east.Must("uml-ctl", "stop", g.m.Name)
	g.b.east.Must("uml-ctl", "deactivate", g.m.Name)
	g.b.east.Must("sh", "-c", `rm -rf "$UML_MACHINES"/`+g.m.Name)
	g.b.west.Must("sh", "-c", `rm -rf "$UML_MACHINES"/`+g.m.Name+` "$UML_MACHINES"/.*/`+g.m.Name+`*`)
}

func (g *turn) down() time.Duration { return g.back.Sub(g.silent) }

func (g *turn) String() string {
	text := ""
	for _, f := range figures {
		text += fmt.Sprintf("%s %.2f; ", strings.TrimSpace(f.name), f.of(g))
	}
	return text
}

// sums are those of a file's pages that are not zeros.
func (b *bench) sums(file string) map[int64][32]byte {
	f, err := os.Open(file)
	if err != nil {
		b.t.Fatalf("bench-move: %v", err)
	}
	defer f.Close()
	all := map[int64][32]byte{}
	buf, zero := make([]byte, 1<<20), [page]byte{}
	for at := int64(0); ; {
		n, err := io.ReadFull(f, buf)
		for i := 0; i < n; i += page {
			if one := buf[i:min(i+page, n)]; string(one) != string(zero[:len(one)]) {
				all[at+int64(i)] = sha256.Sum256(one)
			}
		}
		at += int64(n)
		if err != nil {
			return all
		}
	}
}
