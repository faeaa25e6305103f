// Command benchctl measures uml-ctl, each figure beside what it is to be compared
// with, in turns and in one run: list over the number of machines, a request to a
// kernel beside uml_mconsole's, a console beside socat. That uml-ctl starts no process is not counted but
// made sure of: it runs where it could not.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"uml/test/lab"
)

func main() {
	dispatch()
	n := flag.Int("n", 21, "runs of each")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) {
		b := &bench{lab.New(t), t, *n}
		b.install()
		// A figure more: a method here, which prints its own lines.
		for _, measure := range []func(){b.list, b.look, b.ask, b.console} {
			measure()
		}
	}))
}

// dispatch does not return if this is the program's own run in the lab.
func dispatch() {
	if len(os.Args) == 2 && os.Args[1] == "nothing" {
		os.Exit(0)
	}
	if len(os.Args) < 3 {
		return
	}
	switch os.Args[1] {
	case "turns":
		turns(os.Args[2])
	case "master":
		fmt.Fprintln(os.Stderr, "bench-ctl:", master(os.Args[2:]))
		os.Exit(1)
	case "alone":
		fmt.Fprintln(os.Stderr, "bench-ctl:", alone(os.Args[2:]))
		os.Exit(1)
	}
}

type bench struct {
	*lab.Lab
	t lab.TB
	n int
}

func (b *bench) inside() string { return filepath.Join(b.Dir, "benchctl") }

func (b *bench) install() {
	own, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(b.inside(), own, 0o755)
	}
	if err != nil {
		b.t.Fatalf("bench-ctl: %v", err)
	}
}

// A race is commands that run in turns, and how long each took.
type race struct {
	N        int
	Commands [][]string
}

// run has the commands run in the lab, where nothing comes in between.
func (b *bench) run(commands ...[]string) (took [][]time.Duration) {
	order, _ := json.Marshal(race{b.n, commands})
	out := b.Must(b.inside(), "turns", string(order))
	if err := json.Unmarshal([]byte(out), &took); err != nil {
		b.t.Fatalf("bench-ctl: %q: %v", out, err)
	}
	return took
}

func turns(order string) {
	var r race
	if err := json.Unmarshal([]byte(order), &r); err != nil {
		fmt.Fprintln(os.Stderr, "bench-ctl:", err)
		os.Exit(1)
	}
	took := make([][]time.Duration, len(r.Commands))
	for range r.N {
		for i, argv := range r.Commands {
			began := time.Now()
			if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "bench-ctl: %s: %v\n%s", strings.Join(argv, " "), err, out)
				os.Exit(1)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	json.NewEncoder(os.Stdout).Encode(took)
	os.Exit(0)
}

// list over trees of machines that are down, each with a disc and three settings.
func (b *bench) list() {
	b.Account("lister")
	var commands [][]string
	numbers := []int{1, 10, 100, 1000}
	for _, n := range numbers {
		root := filepath.Join(b.Dir, fmt.Sprint("tree", n))
		for i := range n {
			b.machine(filepath.Join(root, fmt.Sprint("m", i)), i)
		}
		commands = append(commands, []string{"uml-ctl", "--machines", root, "list"})
	}
	took := b.run(commands...)
	fmt.Printf("uml-ctl list, wall time: median (least-most)\n")
	for i, n := range numbers {
		fmt.Printf("%6d machines  %s\n", n, spread(took[i]))
	}
	one, hundred, thousand := median(took[0]), median(took[2]), median(took[3])
	fmt.Printf("1,000 machines to 100, without what one takes: %.1f (10 is linear)\n\n", float64(thousand-one)/float64(hundred-one))
	b.proven(commands[2]...)
}

func (b *bench) machine(dir string, i int) {
	jail := filepath.Join(dir, "jail")
	err := os.MkdirAll(filepath.Join(dir, "settings"), 0o755)
	for name, value := range map[string]string{"user": "lister", "mem": "96M", "ip4": fmt.Sprintf("10.0.%d.%d", i/250, i%250)} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "settings", name), []byte(value+"\n"), 0o644)
		}
	}
	if err == nil {
		err = os.Mkdir(jail, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(jail, "ubd0"), nil, 0o644)
	}
	if err != nil {
		b.t.Fatalf("bench-ctl: %v", err)
	}
}

// proven runs a command where it cannot start a process.
func (b *bench) proven(argv ...string) {
	b.Must(append([]string{b.inside(), "alone"}, argv...)...)
	fmt.Printf("%s starts no process: it was run where it cannot.\n\n", strings.Join(append(argv[:1:1], argv[len(argv)-1]), " ... "))
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func spread(all []time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.1f ms (%.1f-%.1f)", ms(median(all)), ms(slices.Min(all)), ms(slices.Max(all)))
}
