package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/mconsole"
	"uml/probe"
)

// signs boots one guest alone and prints what of its boot's CPU it had taken at which sign.
func (b *bench) signs() {
	m := b.guests[0]
	m.Activate()
	b.Wait("a kernel", func() bool { return m.PID() > 0 })
	tap := "tap_" + m.Name
	fmt.Printf("\nOne guest of %s boots:\n%s", b.kind, b.Must(b.self, "follow", strconv.Itoa(m.PID()), strconv.Itoa(m.UID), m.Name, tap, m.IP4))
	b.hold()
	m.Svc("-d")
	m.WaitDown()
	b.Must("sh", "-c", `rm "$0"; svc -dx "$1"`, m.Link(), m.Dir)
	b.Wait("its supervisor to end", func() bool { return b.Run("svok", m.Dir).Code != 0 })
}

// follow looks at a guest's boot from the host, until it has rested for three seconds.
func follow(args []string) {
	pid, _ := strconv.Atoi(args[0])
	uid, _ := strconv.Atoi(args[1])
	name, tap, address := args[2], args[3], netip.MustParseAddr(args[4])
	type seen struct {
		what string
		at   time.Duration
		cpu  float64
	}
	var all []seen
	start := time.Now()
	sign := func(what string, ok func(context.Context) bool) {
		for _, s := range all {
			if s.what == what {
				return
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if ok(ctx) {
			all = append(all, seen{what, time.Since(start), cpu(uid)})
		}
	}
	whole, busy := seen{}, start
	for time.Since(start) < 5*time.Minute && time.Since(busy) < 3*time.Second {
		sign("its kernel's console (mconsole)", func(ctx context.Context) bool {
			c, err := mconsole.Dial(pid, uid, name)
			if err != nil {
				return false
			}
			defer c.Close()
			_, err = c.Version(ctx)
			return err == nil
		})
		sign("its address (ARP, ping)", func(ctx context.Context) bool {
			r, err := probe.Ask(ctx, tap, []netip.Addr{address}, 20*time.Millisecond)
			return err == nil && len(r.Answers) > 0
		})
		sign("sshd", func(ctx context.Context) bool {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address.String()+":22")
			if err != nil {
				return false
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, _ := c.Read(make([]byte, 64))
			return n > 0
		})
		time.Sleep(20 * time.Millisecond)
		if now := cpu(uid); len(all) < 2 || now-whole.cpu > 0.1 { // it sleeps between its first steps, too
			whole, busy = seen{"it rests", time.Since(start), now}, time.Now()
		}
	}
	for _, s := range append(all, whole) {
		fmt.Printf("  %6.2f s  %-32s %5.2f s of CPU, %3.0f%%\n", s.at.Seconds(), s.what, s.cpu, 100*s.cpu/whole.cpu)
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
