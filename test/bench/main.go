// Command bench measures what a start costs: uml-run, and beside it run.sh, the
// paper's run script in shell. Both start Debian's kernel in the same lab, in
// turns, and are stopped at its exec.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uml/test/lab"
)

const timeout = 300 * time.Millisecond // ping-timeout

func main() {
	if len(os.Args) == 5 && os.Args[1] == "inside" {
		if err := inside(os.Args[2], os.Args[3], os.Args[4] == "after"); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	n := flag.Int("n", 21, "starts of each")
	slow := flag.Int("slow", 3, "starts of the script with many silent addresses")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) { bench(t, *n, *slow) }))
}

// A rival is one of the two, with a machine of its own in every case.
type rival struct {
	l   *lab.Lab
	t   lab.TB
	m   *lab.Machine
	run string
}

func bench(t lab.TB, n, slow int) {
	l := lab.New(t)
	l.SetHost("ping-timeout", fmt.Sprint(timeout.Milliseconds()))
	fmt.Printf("Each start: from before the fork of the run program until it executes Debian's kernel.\n"+
		"Median (least-most); ratio of the medians, script to suite. ping-timeout is %v here, not 1 s.\n", timeout)
	for i, c := range []struct {
		title     string
		addresses int
		n, slow   int
	}{
		{"no address", 0, n, n},
		{"1 silent address", 1, n, n},
		{"40 silent addresses", 40, n, slow},
	} {
		suite, script := rivals(t, l, i, c.addresses)
		first := []side{{wait: waits(min(c.addresses, 1))}, {wait: waits(c.addresses)}}
		first[0].starts = append(first[0].starts, suite.start())
		first[1].starts = append(first[1].starts, script.start())
		warm := []side{{wait: waits(min(c.addresses, 1))}, {wait: waits(c.addresses)}}
		for k := range c.n {
			warm[0].starts = append(warm[0].starts, suite.start())
			if k*c.slow/c.n != (k+1)*c.slow/c.n {
				warm[1].starts = append(warm[1].starts, script.start())
			}
		}
		printCase(os.Stdout, c.title+", first start", first[0], first[1])
		printCase(os.Stdout, c.title+", all in place", warm[0], warm[1])
		if c.addresses == 1 {
			defer printAfter(suite.after(), script.after())
		}
	}
}

func printAfter(suite, script After) {
	fmt.Printf("\nThe guest boots: %d bytes of uml-run's resident and %d processes beside the kernel; script %d and %d.\n",
		suite.Resident, suite.Beside, script.Resident, script.Beside)
}

func waits(n int) time.Duration { return time.Duration(n) * timeout }

// rivals makes two machines that differ in nothing but name and addresses.
func rivals(t lab.TB, l *lab.Lab, i, addresses int) (suite, script *rival) {
	own, err := os.Executable()
	if err != nil {
		t.Fatalf("%v", err)
	}
	sh := filepath.Join(l.Dir, "run.sh")
	if err := os.WriteFile(sh, runScript, 0o755); err != nil {
		t.Fatalf("%v", err)
	}
	bench := filepath.Join(l.Dir, "bench")
	if i == 0 {
		text, err := os.ReadFile(own)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if err := os.WriteFile(bench, text, 0o755); err != nil {
			t.Fatalf("%v", err)
		}
	}
	make := func(name string, first int) *rival {
		var ip4 []string
		for k := range addresses {
			ip4 = append(ip4, fmt.Sprintf("192.0.2.%d", first+k))
		}
		s := lab.Settings{"swap": "64M"}
		if addresses > 0 {
			s["ip4"] = strings.Join(ip4, "\n")
		}
		return &rival{l, t, l.Machine(fmt.Sprintf("%s%d", name, addresses), s), "./run"}
	}
	suite, script = make("suite", 20+2*addresses), make("script", 120+2*addresses)
	run := filepath.Join(script.m.Dir, "run")
	if err := os.Remove(run); err != nil {
		t.Fatalf("%v", err)
	}
	if err := os.Symlink(sh, run); err != nil {
		t.Fatalf("%v", err)
	}
	return suite, script
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
	result := r.m.Run(filepath.Join(r.l.Dir, "bench"), "inside", filepath.Join(r.m.Jail, "linux"), r.run, what)
	if result.Code != 0 {
		r.t.Fatalf("%s: %s of %s: exit %d: %s", r.m.Name, what, r.run, result.Code, result.Err)
	}
	if err := json.Unmarshal([]byte(result.Out), to); err != nil {
		r.t.Fatalf("%s: %v", result.Out, err)
	}
}

//go:embed run.sh
var runScript []byte
