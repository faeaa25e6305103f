// Command benchmove measures a guest's move between two labs' hosts, by uml-machine move and by
// hand: rsync -S --inplace of its disc twice, the second time with the guest down, through the
// same ssh, and uml-ctl stop and activate. Each turn has a guest of its own, of whose disc so much is in
// use, of bytes that nothing makes shorter, and so much is written anew, in 4 KiB pieces that lie scattered,
// between the first pass and the next: uml-machine is stopped by a signal meanwhile. The wire is paced by tc(8).
package main

import (
	"flag"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

var (
	turns = flag.Int("n", 3, "moves of each kind")
	size  = flag.Int64("size", 1<<30, "of a disc, bytes")
	wire  = flag.Int("rate", 1000, "of the wire, Mbit/s")
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "scatter" { // in the guest
		scatter(os.Args[2], os.Args[3])
		return
	}
	flag.Parse()
	os.Exit(lab.Main(measure))
}

const page = 4096

// scatter writes so many pages of a file anew, each another, and syncs.
func scatter(file, pages string) {
	n, err := strconv.Atoi(pages)
	fatal(err)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	fatal(err)
	st, err := f.Stat()
	fatal(err)
	var seed [32]byte
	_, err = unix.Getrandom(seed[:], 0)
	fatal(err)
	noise := mrand.NewChaCha8(seed)
	b := make([]byte, page)
	for _, at := range mrand.Perm(int(st.Size() / page))[:n] {
		noise.Read(b)
		_, err := f.WriteAt(b, int64(at)*page)
		fatal(err)
	}
	fatal(f.Sync())
	unix.Sync()
	fmt.Println("scattered")
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-move:", err)
		os.Exit(1)
	}
}

// A bench is two hosts, and where a guest goes from west to east.
type bench struct {
	t          lab.TB
	west, east *lab.Lab
	hand       string // ssh from west to east that is root there
	last       int    // of the guests
}

func measure(t lab.TB) {
	hosts := lab.Twins(t)
	b := &bench{t: t, west: hosts[0], east: hosts[1]}
	key := filepath.Join(b.west.Dir, "hand")
	b.west.Must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	b.east.Mover("", key)
	b.hand = lab.RootSSH(key) + " -q"
	for _, l := range hosts {
		l.Must("tc", "qdisc", "add", "dev", "ext0", "root", "tbf", "rate", fmt.Sprintf("%dmbit", *wire), "burst", "256kb", "latency", "50ms")
	}
	ways := []struct {
		name string
		move func(*turn)
	}{{"by hand, rsync", b.byHand}, {"uml-machine move", b.ours}}
	got := make([][]*turn, len(ways))
	for range *turns {
		for i, w := range ways {
			g := b.turn(*size, *size*3/10, *size/100)
			w.move(g)
			g.end()
			got[i] = append(got[i], g)
			fmt.Fprintf(os.Stderr, "%s: %s\n", w.name, g)
		}
	}
	fmt.Printf("A disc of %d MB, %d MB in use, %d MB written anew between the passes, a wire of %d Mbit/s (tc tbf): median of %d in turns (range), ratio to rsync\n",
		*size/1e6, *size*3/10/1e6, *size/100/1e6, *wire, *turns)
	for _, f := range figures {
		fmt.Printf("%-36s", f.name)
		var first float64
		for i := range ways {
			var v []float64
			for _, g := range got[i] {
				v = append(v, f.of(g))
			}
			slices.Sort(v)
			middle := v[len(v)/2]
			ratio := ""
			if i == 0 {
				first = middle
			} else if first > 0 {
				ratio = fmt.Sprintf(" %.2f", middle/first)
			}
			fmt.Printf(" %-32s", fmt.Sprintf("%.2f (%.2f-%.2f)%s", middle, v[0], v[len(v)-1], ratio))
		}
		fmt.Println()
	}
	g := b.turn(8<<30, 0, 0)
	b.ours(g)
	g.end()
	fmt.Printf("A disc of 8 GB with little data: %.1f s, resident client %.0f MB, server %.0f MB\n", g.all.Seconds(), float64(g.client)/1e6, float64(g.server)/1e6)
}

var figures = []struct {
	name string
	of   func(*turn) float64
}{
	{"first pass, MB/s", func(g *turn) float64 { return float64(g.used) / 1e6 / g.first.Seconds() }},
	{"first pass sent / data", func(g *turn) float64 { return g.bytes[0] / float64(g.used) }},
	{"then sent, MB", func(g *turn) float64 { return g.bytes[1] / 1e6 }},
	{"then sent / changed", func(g *turn) float64 { return g.bytes[1] / float64(g.changed) }},
	{"downtime, s", func(g *turn) float64 { return g.down().Seconds() }},
	{"  the guest's end", func(g *turn) float64 { return g.gone.Sub(g.silent).Seconds() }},
	{"  last pass, and all up to the link", func(g *turn) float64 { return g.linked.Sub(g.gone).Seconds() }},
	{"  svscan's look (each 5 s)", func(g *turn) float64 { return g.supervised.Sub(g.linked).Seconds() }},
	{"  the guest's start", func(g *turn) float64 { return g.back.Sub(g.supervised).Seconds() }},
	{"downtime without svscan's look, s", func(g *turn) float64 { return (g.down() - g.supervised.Sub(g.linked)).Seconds() }},
	{"resident, sender, MB", func(g *turn) float64 { return float64(g.client) / 1e6 }},
	{"resident, receiver, MB", func(g *turn) float64 { return float64(g.server) / 1e6 }},
}

// image makes a guest's disc of that size, and puts this program into it.
func image(m *lab.Machine, size int64) error {
	disc := filepath.Join(m.Jail, "ubd0")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	script := `truncate -s $2 $1; e2fsck -fp $1 >/dev/null || test $? = 1; resize2fs $1; debugfs -w -R "write $3 bin/benchmove" $1; debugfs -w -R "set_inode_field bin/benchmove mode 0100755" $1`
	if out, err := exec.Command("sh", "-ec", script, "sh", disc, strconv.FormatInt(size, 10), self).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// await polls until ok, for what is over in milliseconds.
func await(t lab.TB, what string, ok func() bool) time.Time {
	for end := time.Now().Add(lab.Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) || t.Context().Err() != nil {
			t.Fatalf("bench-move: waited for %s", what)
		}
	}
	return time.Now()
}
