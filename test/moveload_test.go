package test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"uml/test/cutter"
	"uml/test/lab"
)

// A scribe writes numbered records into a guest from the router, by its shell, one after the other:
// what the guest has said to be on its disc must be there for ever.
type scribe struct {
	l    *lab.Lab
	ip   string
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	acked []int
	kept  []int // acked when a guest was down
}

const records = "/root/records"

// record is a line with a number and what follows from that, of about 1 KiB.
func record(n int) string {
	return fmt.Sprintf("%d %s", n, strings.Repeat(fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "record %d", n))), 16))
}

func (p *twins) scribe(ip string) *scribe {
	ctx, stop := context.WithCancel(p.t.Context())
	s := &scribe{l: p.hosts[0], ip: ip, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for n := 1; ctx.Err() == nil; {
			n = s.write(ctx, n)
		}
	}()
	p.t.Cleanup(s.end)
	return s
}

func (s *scribe) end() { s.stop(); <-s.done }

// write goes on from number n until the guest does not answer, and returns the next.
func (s *scribe) write(ctx context.Context, n int) int {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := s.l.Cmd(ctx, "/", "ip", "netns", "exec", "other", "busybox", "nc", s.ip, "7")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if cmd.Start() != nil {
		return n
	}
	defer cmd.Wait()
	defer stop()
	said := bufio.NewScanner(out)
	for ; ; n++ {
		// A line that a dying guest has begun is ended first.
		if _, err := io.WriteString(in, "echo >>"+records+"; echo "+record(n)+" >>"+records+" && sync && echo "+fmt.Sprint(n)+"\n"); err != nil {
			return n
		}
		late := time.AfterFunc(2*time.Second, stop)
		ok := said.Scan() && said.Text() == fmt.Sprint(n)
		late.Stop()
		if !ok {
			time.Sleep(50 * time.Millisecond)
			return n + 1 // it may be there or not
		}
		s.mu.Lock()
		s.acked = append(s.acked, n)
		s.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// promised are the records that must be there by now.
func (s *scribe) promised() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked[:len(s.acked):len(s.acked)]
}

// down notes what a guest has promised when it is down for a move: all of it must go along.
func (s *scribe) down(f cutter.Frame) {
	if f.Label == "> Q ready" && !f.Passed {
		kept := s.promised()
		s.mu.Lock()
		s.kept = kept
		s.mu.Unlock()
	}
}

// last are those that were there at the last move.
func (s *scribe) last() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// lost are those of promised that a disc of a host does not have. Its filesystem must be clean.
func lost(t *testing.T, l *lab.Lab, disc string, promised []int) (n int) {
	t.Helper()
	l.Must("e2fsck", "-fn", disc)
	has := map[string]bool{}
	for line := range strings.Lines(l.Must("debugfs", "-R", "cat "+records, disc)) {
		has[strings.TrimSuffix(line, "\n")] = true
	}
	for _, p := range promised {
		if !has[record(p)] {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%s: %d of %d acknowledged records are lost", disc, n, len(promised))
	}
	return n
}

// A pinger is the router, which pings a guest every 10 ms.
type pinger struct {
	stop context.CancelFunc
	done chan struct{}
	gaps []time.Duration // between two answers, of those over half a second
	got  int
}

func (p *twins) pinger(ip string) *pinger {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	r := &pinger{stop: stop, done: make(chan struct{})}
	cmd := p.hosts[0].Cmd(ctx, "/", "ip", "netns", "exec", "other", "ping", "-n", "-D", "-i", "0.01", ip)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		defer cmd.Wait()
		last := 0.0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var at float64
			if _, err := fmt.Sscanf(lines.Text(), "[%f] 64 bytes", &at); err != nil {
				continue
			}
			if gap := time.Duration((at - last) * float64(time.Second)); last > 0 && gap > time.Second/2 {
				r.gaps = append(r.gaps, gap.Round(10*time.Millisecond))
			}
			last = at
			r.got++
		}
	}()
	p.t.Cleanup(r.end)
	return r
}

func (r *pinger) end() { r.stop(); <-r.done }
