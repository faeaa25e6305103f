// Command benchnet measures what the network of many guests costs, as ratios of what
// was measured in turns in one run: a packet of one guest beside the number of
// others, the paper's way and a TAP without anything likewise; a machine's up, down
// and show; the garbage collection. All of it happens in namespaces that it makes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

const inside = "BENCHNET_INSIDE"

func main() {
	most := flag.Int("most", 1000, "interfaces at most; routes go to ten times that")
	rounds := flag.Int("rounds", 15, "turns")
	turns := flag.Int("streams", 5, "turns of iperf3")
	flag.Parse()
	if os.Getenv(inside) == "" {
		code := again()
		code = max(code, lab.Main(func(t lab.TB) { streams(t, *turns) }))
		os.Exit(code)
	}
	// The lock of the firewall's rules shall be this program's own.
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("run", "/run", "tmpfs", 0, "mode=755"))
	if err == nil {
		err = run(*most, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-net:", err)
		os.Exit(1)
	}
}

// again runs this program in namespaces of its own, where its network ends with it.
func again() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-net: in namespaces of its own (root?):", err)
		return 1
	}
	return 0
}

func run(most, rounds int) error {
	fmt.Printf("A host for each line. Guests have interfaces of their own up to %d, and beyond that routes and published addresses.\n", most)
	var ours, papers, bare []*host
	defer func() {
		for _, h := range append(append(ours, papers...), bare...) {
			h.close()
		}
	}()
	for n := 1; n <= 10*most; n *= 10 {
		h, err := newHost(n)
		if err == nil {
			ours = append(ours, h)
			err = h.suite(min(n, most))
		}
		if err != nil {
			return fmt.Errorf("%d guests: %w", n, err)
		}
		if n > most {
			continue
		}
		p, err := newHost(n)
		if err == nil {
			papers = append(papers, p)
			err = p.paper()
		}
		if err != nil {
			return fmt.Errorf("%d guests, the paper's way: %w", n, err)
		}
	}
	b, err := newHost(1)
	if err == nil {
		bare = append(bare, b)
		err = b.bare()
	}
	if err != nil {
		return fmt.Errorf("a TAP without anything: %w", err)
	}
	if err := packets(rounds, ours, papers, b); err != nil {
		return err
	}
	return changes(rounds, ours)
}
