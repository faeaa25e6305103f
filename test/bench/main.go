// Command bench measures what a start costs: uml-run, and beside it run.sh, the
// paper's run script in shell, as it is and with the questions by ARP that the
// suite asks too. All start Debian's kernel in the same lab, in turns, and are
// stopped at its exec.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"uml/test/lab"
)

//go:embed run.sh
var script []byte

// timeout is the lab's ping-timeout: the script waits for it 40 times in a start.
const timeout = 300 * time.Millisecond

func main() {
	dispatch()
	n := flag.Int("n", 21, "starts of each")
	slow := flag.Int("slow", 3, "starts of the script with 40 silent addresses")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) {
		b, err := newBench(t)
		if err != nil {
			t.Fatalf("bench: %v", err)
		}
		b.run(*n, *slow)
	}))
}

// dispatch does not return if this is the program's own run in the lab.
func dispatch() {
	if len(os.Args) != 5 || os.Args[1] != "inside" {
		return
	}
	if err := inside(os.Args[2], os.Args[3], os.Args[4] == "after"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type bench struct {
	*lab.Lab
	t      lab.TB
	inside string // this program, where the lab sees it
	script string
	arp    string // the script that asks by ARP too
	floor  string
}

func newBench(t lab.TB) (*bench, error) {
	l := lab.New(t)
	l.SetHost("ping-timeout", fmt.Sprint(timeout.Milliseconds()))
	in := func(name string) string { return filepath.Join(l.Dir, name) }
	l.Must("uml-net", "restore") // the host's first start makes the firewall's rules
	b := &bench{l, t, in("bench"), in("run.sh"), in("run-arp.sh"), in("floor")}
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", b.floor, "uml/test/bench/floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	arp := bytes.Replace(script, []byte("\narp=\n"), []byte("\narp=1\n"), 1)
	return b, errors.Join(build.Run(), os.WriteFile(b.inside, own, 0o755),
		os.WriteFile(b.script, script, 0o755), os.WriteFile(b.arp, arp, 0o755))
}

// run prints a table a case. What starts for the first time makes the TAP, the
// swap and, for the script, the jail; later all is in place.
func (b *bench) run(n, slow int) {
	fmt.Printf("A start, from before the fork of the run program until it executes Debian's kernel. Median (least-most);\n"+
		"ratio: script to suite. ping-timeout is %v, not 1s, and with 40 addresses the script starts %d times only:\n"+
		"it waits for each in turn. What ping stays beyond that counts as the script's wall time, not as its CPU.\n", timeout, slow)
	b.floorOf(n)
	var left []After
	for _, c := range []struct {
		title     string
		addresses int
		starts    int // of the script
	}{
		{"no address", 0, n},
		{"1 silent address", 1, n},
		{"40 silent addresses", 40, slow},
	} {
		all := b.rivals(c.addresses)
		first, later := make([]side, len(all)), make([]side, len(all))
		for i, r := range all {
			first[i], later[i] = r.starts(1), r.starts(0)
		}
		for k := range n {
			for i, r := range all {
				if i == 0 || k*c.starts/n != (k+1)*c.starts/n {
					later[i].add(r.start())
				}
			}
		}
		printCase(os.Stdout, c.title+", first start", first)
		printCase(os.Stdout, c.title+", all in place", later)
		if c.addresses == 1 {
			left = []After{all[0].after(), all[1].after()}
		}
	}
	fmt.Println()
	for i, name := range []string{"uml-run", "run.sh"} {
		fmt.Printf("With the kernel running: %d bytes of %s's resident, %d processes beside the kernel's.\n", left[i].Resident, name, left[i].Beside)
	}
}

func (b *bench) floorOf(n int) {
	m := b.machine("floor", 0, 0, b.floor)
	s := m.starts(n)
	fmt.Printf("A Go program that does nothing but that exec: wall %s, CPU %s.\n", spread(s.walls(), "ms"), spread(s.cpu(), "ms"))
}

// A rival is one of those in one case, with a machine of its own.
type rival struct {
	*bench
	name string
	m    *lab.Machine
	wait time.Duration // for silent addresses
}

// rivals makes machines that differ in nothing but name and addresses: the suite's
// first, then the scripts'. The suite asks all addresses at once, a script one
// after another. Without an address there is nothing to ask by ARP.
func (b *bench) rivals(addresses int) []*rival {
	all := []*rival{
		b.machine("suite", 20+addresses/4, addresses, filepath.Join(b.Bin, "uml-run")),
		b.machine("script", 80+addresses/4, addresses, b.script),
	}
	if addresses > 0 {
		all = append(all, b.machine("arp", 140+addresses/4, addresses, b.arp))
	}
	all[0].wait = timeout * time.Duration(min(addresses, 1))
	for _, script := range all[1:] {
		script.wait = timeout * time.Duration(addresses)
	}
	return all
}

func (b *bench) machine(name string, first, addresses int, run string) *rival {
	s := lab.Settings{"swap": "64M"}
	if addresses > 0 {
		var list []string
		for k := range addresses {
			list = append(list, fmt.Sprintf("192.0.2.%d", first+k))
		}
		s["ip4"] = strings.Join(list, "\n")
	}
	m := b.Machine(fmt.Sprint(name, addresses), s)
	link := filepath.Join(m.Dir, "run")
	if err := errors.Join(os.Remove(link), os.Symlink(run, link)); err != nil {
		b.t.Fatalf("bench: %v", err)
	}
	return &rival{bench: b, name: filepath.Base(run), m: m}
}

func (r *rival) starts(n int) side {
	s := side{name: r.name, wait: r.wait}
	for range n {
		s.add(r.start())
	}
	return s
}

func (r *rival) start() (s Start) {
	r.measure("start", &s)
	return s
}

func (r *rival) after() (a After) {
	r.measure("after", &a)
	return a
}

func (r *rival) measure(what string, to any) {
	result := r.m.Run(r.inside, "inside", filepath.Join(r.m.Jail, "linux"), "./run", what)
	if result.Code != 0 {
		r.t.Fatalf("bench: %s: exit %d: %s", r.m.Dir, result.Code, result.Err)
	}
	if err := json.Unmarshal([]byte(result.Out), to); err != nil {
		r.t.Fatalf("bench: %q: %v", result.Out, err)
	}
}
