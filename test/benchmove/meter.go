package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// A pinger asks a guest each 10 ms, from the router, and knows when it has answered.
type pinger struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	at  []time.Time
}

func (b *bench) ping(ip string) *pinger {
	p := &pinger{cmd: b.west.Cmd(b.t.Context(), "/", "ip", "netns", "exec", "other", "ping", "-n", "-i", "0.01", ip)}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		b.t.Fatalf("bench-move: ping: %v", err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), " bytes from "+ip) {
				p.mu.Lock()
				p.at = append(p.at, time.Now())
				p.mu.Unlock()
			}
		}
	}()
	return p
}

// gap ends it, and is the longest time without an answer.
func (p *pinger) gap(t lab.TB) (from, to time.Time) {
	unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.at) < 2 {
		t.Fatalf("bench-move: no answer to a ping")
	}
	for i := 1; i < len(p.at); i++ {
		if p.at[i].Sub(p.at[i-1]) > to.Sub(from) {
			from, to = p.at[i-1], p.at[i]
		}
	}
	return from, to
}

// wire is what has passed west's end of it, both ways, bytes: pings and ARP too, 20 KB a second.
func (b *bench) wire() (n float64) {
	for line := range strings.Lines(b.west.Must("sh", "-c", "cat /sys/class/net/ext0/statistics/[rt]x_bytes")) {
		one, _ := strconv.ParseFloat(strings.TrimSpace(line), 64)
		n += one
	}
	return n
}

func blocks(st os.FileInfo) int64 { return st.Sys().(*syscall.Stat_t).Blocks * 512 }

// guestOf is the process of a guest's kernel.
func guestOf(l *lab.Lab, name string) int {
	net, _ := os.Readlink("/proc/" + strconv.Itoa(l.PID) + "/ns/net")
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		if of, err := os.Readlink(filepath.Dir(file) + "/ns/net"); err == nil && of == net && strings.Contains(string(text), "umid="+name+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

// resident notes the most that processes of a name have had resident, until stop.
func (b *bench) resident(program string, client, server *int64) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	look := func(l *lab.Lab, most *int64) {
		for _, pid := range l.Processes(func(s lab.Status) bool { return s["Name"] == program }) {
			kb, _, _ := strings.Cut(l.Status(pid)["VmHWM"], " ")
			n, _ := strconv.ParseInt(kb, 10, 64)
			*most = max(*most, n<<10)
		}
	}
	go func() {
		defer close(ended)
		for {
			look(b.west, client)
			look(b.east, server)
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-ended }
}
