package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dispatch does not return if this is the program's own run in the lab.
func dispatch() {
	if len(os.Args) < 3 {
		return
	}
	switch os.Args[1] {
	case "ask":
		asks(os.Args[2])
	case "answers":
		awaits(os.Args[2:])
	case "follow":
		follow(os.Args[2:])
	default:
		return
	}
	os.Exit(0)
}

// other is this program with arguments on the other host, and what it prints.
func (b *bench) other(args ...string) (*exec.Cmd, *bufio.Scanner) {
	cmd := b.Cmd(b.t.Context(), "/", append([]string{"ip", "netns", "exec", "other", b.self}, args...)...)
	out, err := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatalf("bench-pace: %v", err)
	}
	return cmd, bufio.NewScanner(out)
}

// ask has the other host ask the old guest again and again, until the function is called
// that returns how long its answers took, in order.
func (b *bench) ask() (end func() []time.Duration) {
	cmd, out := b.other("ask", b.old.IP4)
	got := make(chan []time.Duration)
	go func() {
		var all []time.Duration
		for out.Scan() {
			n, _ := strconv.ParseInt(out.Text(), 10, 64)
			all = append(all, time.Duration(n))
		}
		slices.Sort(all)
		got <- all
	}()
	return func() []time.Duration {
		cmd.Cancel()
		all := <-got
		cmd.Wait()
		if len(all) == 0 {
			b.t.Fatalf("bench-pace: the old guest answers nothing")
		}
		return all
	}
}

func (b *bench) requests(d time.Duration) []time.Duration {
	end := b.ask()
	time.Sleep(d)
	return end()
}

// asks prints how long a shell's answer took, a request every 50 ms. One that takes long
// delays the next, as with a single customer.
func asks(address string) {
	for ; ; time.Sleep(50 * time.Millisecond) {
		begin := time.Now()
		c, err := net.DialTimeout("tcp", address+":7", 30*time.Second)
		if err != nil {
			continue // its shell is begun anew for each
		}
		fmt.Fprintln(c, "echo done; exit")
		text, _ := io.ReadAll(c)
		c.Close()
		if strings.Contains(string(text), "done") {
			fmt.Println(time.Since(begin).Nanoseconds())
		}
	}
}

// answers is when each guest first answered.
func (b *bench) answers(begin time.Time) (up []time.Duration) {
	args := []string{"answers"}
	for _, m := range b.guests {
		args = append(args, m.IP4)
	}
	cmd, out := b.other(args...)
	for out.Scan() {
		up = append(up, time.Since(begin))
	}
	cmd.Wait()
	return up
}

// awaits prints each address when it answers a ping the first time. A start would take the
// questions of package probe for those of another host that starts the same guest.
func awaits(addresses []string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-pace:", err)
		os.Exit(1)
	}
	silent := map[[4]byte]bool{}
	for _, a := range addresses {
		silent[netip.MustParseAddr(a).As4()] = true
	}
	echo := []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0} // type, code, checksum, number and sequence 0
	for end := time.Now().Add(20 * time.Minute); len(silent) > 0 && time.Now().Before(end); {
		for a := range silent {
			unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: a})
		}
		for next := time.Now().Add(100 * time.Millisecond); time.Now().Before(next); time.Sleep(5 * time.Millisecond) {
			packet := make([]byte, 256)
			for n, _, err := unix.Recvfrom(fd, packet, 0); err == nil; n, _, err = unix.Recvfrom(fd, packet, 0) {
				from := netip.AddrFrom4([4]byte(packet[12:16]))
				if n == 28 && packet[20] == 0 && silent[from.As4()] { // an answer behind a plain IPv4 header
					fmt.Println(from)
					delete(silent, from.As4())
				}
			}
		}
	}
}
