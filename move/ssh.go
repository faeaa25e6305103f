package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"uml/fault"
)

// A line is the system's ssh to the other host, with its keys, agents and configuration, and
// uml-machine serve at its end.
type line struct {
	host string
	wait func() error
	kill func() error
	in   io.WriteCloser
	out  io.ReadCloser
	said tail
}

// call starts it. ssh is its command line, remote what it runs there. A wire that is cut is found
// out within 15 seconds; the client's own -o come first and win.
func call(ctx context.Context, ssh, host, remote string) (*line, error) {
	words := strings.Fields(ssh)
	if len(words) == 0 || remote == "" {
		return nil, fault.Usage.Permanent("--ssh and --remote must name a command")
	}
	file, err := exec.LookPath(words[0])
	if err != nil {
		return nil, fault.ProgramMissing.Permanent("%s: there is no such program (Debian: openssh-client)", words[0])
	}
	args := append(words[1:], "-T", "-e", "none", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "--", host, remote)
	l := &line{host: host}
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Stderr = &l.said
	cmd.WaitDelay = 5 * time.Second
	if l.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if l.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", file, err)
	}
	l.wait, l.kill = cmd.Wait, func() error { return cmd.Process.Kill() }
	return l, nil
}

// hangUp ends the talk, and says what ssh or the program there said, if it failed.
func (l *line) hangUp() error {
	l.in.Close()
	timer := time.AfterFunc(5*time.Second, func() { l.kill() })
	defer timer.Stop()
	err := l.wait()
	if err == nil {
		return nil
	}
	return l.why(err)
}

// why is the last that was said: for a host that is not known, a key that has changed, a key that
// is not let in, one line of ssh's own.
func (l *line) why(err error) error {
	last := l.said.last()
	if last == "" {
		last = err.Error()
	}
	exit := (*exec.ExitError)(nil)
	if errors.As(err, &exit) && (exit.ExitCode() == 127 || strings.Contains(last, "verification failed") || strings.Contains(last, "Permission denied") || strings.Contains(last, "not resolve")) {
		return fault.PeerSilent.Permanent("ssh %s: %s", l.host, last)
	}
	return fault.PeerSilent.Temporary("ssh %s: %s", l.host, last)
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

// last is the last line that is not empty, without what a terminal would take for an order. That a
// host was met for the first time is no reason for anything.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := ""
	for _, l := range lines(string(t.text)) {
		if !strings.HasPrefix(l, "Warning: Permanently added ") {
			last = l
		}
	}
	return fault.Line(last)
}

func lines(text string) (all []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			all = append(all, l)
		}
	}
	return all
}

// limited writes at most rate bytes a second.
type limited struct {
	w    io.Writer
	rate int64
	due  time.Time
}

func (l *limited) Write(b []byte) (n int, err error) {
	piece := int(min(64<<10, max(l.rate, 1))) // so that no write is a long silence
	for len(b) > 0 {
		part := b[:min(len(b), piece)]
		if now := time.Now(); l.due.Before(now) {
			l.due = now
		}
		time.Sleep(time.Until(l.due))
		l.due = l.due.Add(time.Duration(float64(len(part)) / float64(l.rate) * float64(time.Second)))
		k, err := l.w.Write(part)
		n += k
		if err != nil {
			return n, err
		}
		b = b[k:]
	}
	return n, nil
}
