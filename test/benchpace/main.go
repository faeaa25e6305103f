// Command benchpace measures a host's boot: how long it takes until many guests that are
// let go together answer, and what a guest that ran before suffers meanwhile, paced and
// by what there was before. Guests are small ones of busybox, and Debian's system by
// uml-template on COW discs. First it shows what the signs of life mean: how much of a
// boot is done when a guest gives which.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"uml/test/lab"
)

func main() {
	dispatch()
	n := flag.Int("n", 30, "guests")
	kinds := flag.String("kinds", "busybox,debian", "kinds of guests")
	ways := flag.String("ways", "at once,stagger 1-60,pace 1,pace 2,pace 4,pace 8", "what keeps them apart")
	template := flag.String("template", "", "image that uml-template has made of debian:bookworm, with its manifest beside; else it is made")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) {
		for _, kind := range strings.Split(*kinds, ",") {
			l := lab.New(t)
			b := &bench{Lab: l, t: t, kind: kind, n: *n, template: *template}
			b.self, _ = os.Executable()
			b.run(strings.Split(*ways, ","))
			l.Close()
		}
	}))
}

type bench struct {
	*lab.Lab
	t        lab.TB
	kind     string
	n        int
	template string
	self     string
	guests   []*lab.Machine
	old      *lab.Machine // the guest that runs before
}

func (b *bench) run(ways []string) {
	b.OwnEtc()
	b.old = b.Machine("old", lab.Settings{"ip4": "192.0.2.20"})
	b.old.Activate()
	b.old.WaitUp(0)
	b.make()
	b.signs()
	b.hold()
	for _, m := range b.guests {
		m.Activate()
	}
	quiet := b.requests(20 * time.Second)
	fmt.Printf("\n%d guests of %s, let go together: seconds until they answer pings; and of a guest that ran before,\nrequests of a shell's answer over TCP: milliseconds, and the ratio to the quiet host's\n", b.n, b.kind)
	fmt.Printf("%-14s %7s %7s %7s   %-16s %-16s %8s\n", "", "first", "median", "last", "median", "99 of 100", "longest")
	row := func(name string, up []time.Duration, took []time.Duration) {
		at := func(of []time.Duration, share float64) time.Duration { return of[int(float64(len(of)-1)*share)] }
		ratio := func(share float64) string {
			return fmt.Sprintf("%.1f (%.1f)", 1000*at(took, share).Seconds(), at(took, share).Seconds()/at(quiet, share).Seconds())
		}
		first, median, last := "", "", ""
		if len(up) > 0 {
			s := func(share float64) string { return fmt.Sprintf("%.1f", at(up, share).Seconds()) }
			first, median, last = s(0), s(0.5), s(1)
		}
		fmt.Printf("%-14s %7s %7s %7s   %-16s %-16s %8.0f\n", name, first, median, last, ratio(0.5), ratio(0.99), 1000*at(took, 1).Seconds())
	}
	row("quiet", nil, quiet)
	for _, w := range ways {
		up, took := b.boot(w)
		row(w, up, took)
	}
}

// make makes the guests.
func (b *bench) make() {
	if b.kind == "busybox" {
		for i := range b.n {
			b.guests = append(b.guests, b.Machine(fmt.Sprint("g", i), lab.Settings{"ip4": fmt.Sprint("192.0.2.", 30+i)}))
		}
		return
	}
	b.Must("sh", "-ec", `mknod -m 660 /dev/loop-control c 10 237; for i in $(seq 0 63); do mknod -m 660 /dev/loop$i b 7 $i; done`)
	b.Must("uml-kernel", "add", "user-mode-linux", "debian")
	if b.template != "" {
		b.Must("sh", "-ec", `cp --sparse=always "$0" "${0%.img}.json" `+lab.Templates, b.template)
	} else if r := b.Online("uml-template", "-q", "build", "bookworm", "debian:bookworm"); r.Code != 0 {
		b.t.Fatalf("bench-pace: %s%s", r.Out, r.Err)
	}
	name := filepath.Base(strings.TrimSpace(b.Must("sh", "-c", "echo "+lab.Templates+"/*.img")))
	name, _, _ = strings.Cut(name, "@")
	for i := range b.n {
		g := fmt.Sprint("g", i)
		b.Must("uml-machine", "-q", "new", g, "--template", name, "--mem", "128M", "--ip4", fmt.Sprint("192.0.2.", 30+i), "--key", b.key(), "--cow")
		b.guests = append(b.guests, b.Machined(g))
	}
}

func (b *bench) key() string {
	file := filepath.Join(b.Dir, "key")
	if _, err := os.Stat(file); err != nil {
		b.Must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
	}
	return file + ".pub"
}

func (b *bench) hold() { b.Must("touch", b.Machines+"-nostart") }

// boot lets all go at once, and ends them when all have answered.
func (b *bench) boot(way string) (up, took []time.Duration) {
	kind, value, _ := strings.Cut(way, " ")
	b.SetHost("pace", "0")
	b.SetHost("stagger", "0")
	if kind == "pace" || kind == "stagger" {
		b.SetHost(kind, value)
	}
	for _, m := range b.guests {
		b.Must("svc", "-u", m.Link())
	}
	b.Wait("all to wait", func() bool {
		return strings.Count(b.Must("uml-ctl", "list"), "machines-nostart") == b.n
	})
	b.Must("sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches || :")
	time.Sleep(10 * time.Second) // pressure is of ten seconds
	ended := b.ask()
	begin := time.Now()
	b.Must("rm", b.Machines+"-nostart")
	up = b.answers(begin)
	took = ended()
	b.hold()
	for _, m := range b.guests {
		b.Must("svc", "-d", m.Link())
	}
	for _, m := range b.guests {
		m.WaitDown()
	}
	slices.Sort(up)
	return up, took
}
