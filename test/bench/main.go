// Command bench measures what a start costs: uml-run, and beside it run.sh, the
// paper's run script in shell. Both start Debian's kernel in the same lab, in
// turns, and are stopped at its exec.
package main

import (
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
	floor  string
}

func newBench(t lab.TB) (*bench, error) {
	l := lab.New(t)
	l.SetHost("ping-timeout", fmt.Sprint(timeout.Milliseconds()))
	b := &bench{l, t, filepath.Join(l.Dir, "bench"), filepath.Join(l.Dir, "run.sh"), filepath.Join(l.Dir, "floor")}
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", b.floor, "uml/test/bench/floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return b, errors.Join(build.Run(), os.WriteFile(b.inside, own, 0o755), os.WriteFile(b.script, script, 0o755))
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
		suite, script := b.rivals(c.addresses)
		printCase(os.Stdout, c.title+", first start", suite.starts(1), script.starts(1))
		suiteSide, scriptSide := suite.starts(0), script.starts(0)
		for k := range n {
			suiteSide.add(suite.start())
			if k*c.starts/n != (k+1)*c.starts/n {
				scriptSide.add(script.start())
			}
		}
		printCase(os.Stdout, c.title+", all in place", suiteSide, scriptSide)
		if c.addresses == 1 {
			left = []After{suite.after(), script.after()}
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

// A rival is one of the two in one case, with a machine of its own.
type rival struct {
	*bench
	m    *lab.Machine
	wait time.Duration // for silent addresses
}

// rivals makes two machines that differ in nothing but name and addresses. The
// suite asks all addresses at once, the script one after another.
func (b *bench) rivals(addresses int) (suite, script *rival) {
	suite = b.machine("suite", 20+addresses, addresses, filepath.Join(b.Bin, "uml-run"))
	script = b.machine("script", 120+addresses, addresses, b.script)
	suite.wait = timeout * time.Duration(min(addresses, 1))
	script.wait = timeout * time.Duration(addresses)
	return suite, script
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
	return &rival{bench: b, m: m}
}

func (r *rival) starts(n int) side {
	s := side{wait: r.wait}
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
