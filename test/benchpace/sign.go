package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/mconsole"
	"uml/probe"
)

// follow prints, a line a step, when the guest of a kernel's process gives which sign, and
// what CPU its user has taken by then. It is run inside the lab.
func follow(pid, uid int, name, tap, address string) {
	start := time.Now()
	a := netip.MustParseAddr(address)
	seen := map[string]time.Duration{}
	sign := func(what string, ok func() bool) {
		if _, was := seen[what]; !was && ok() {
			seen[what] = time.Since(start)
			fmt.Printf("%6.2f s  %-14s CPU so far %.2f s\n", seen[what].Seconds(), what, cpu(uid))
		}
	}
	before, at, busy := cpu(uid), time.Now(), time.Now()
	for time.Since(start) < 60*time.Second && time.Since(busy) < 8*time.Second {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		sign("mconsole", func() bool {
			c, err := mconsole.Dial(pid, uid, name)
			if err != nil {
				return false
			}
			defer c.Close()
			_, err = c.Version(ctx)
			return err == nil
		})
		sign("arp", func() bool {
			r, err := probe.Ask(ctx, tap, []netip.Addr{a}, 20*time.Millisecond)
			return err == nil && len(r.Answers) > 0
		})
		sign("ssh", func() bool {
			c, err := net.DialTimeout("tcp", address+":22", 50*time.Millisecond)
			if err != nil {
				return false
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, _ := c.Read(make([]byte, 64))
			return n > 0
		})
		cancel()
		time.Sleep(20 * time.Millisecond)
		if d := time.Since(at); d >= 500*time.Millisecond {
			now := cpu(uid)
			share := (now - before) / d.Seconds()
			fmt.Printf("%6.2f s  load %3.0f%%\n", time.Since(start).Seconds(), 100*share)
			if share > 0.05 {
				busy = time.Now()
			}
			before, at = now, time.Now()
		}
	}
}

// cpu is what all processes of a user have taken, seconds; those that have ended count with
// their parent.
func cpu(uid int) (sum float64) {
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, n := range names {
		var st unix.Stat_t
		if unix.Stat(n, &st) != nil || int(st.Uid) != uid {
			continue
		}
		text, _ := os.ReadFile(n + "/stat")
		f := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
		for _, i := range []int{11, 12, 13, 14} {
			if len(f) > i {
				v, _ := strconv.ParseFloat(f[i], 64)
				sum += v / 100
			}
		}
	}
	return sum
}

var _ = exec.Command
