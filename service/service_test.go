package service

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWrites(t *testing.T) {
	for mounts, want := range map[string]bool{
		"":                                    false,
		"/dev/root / ext4 rw,relatime 0 0\n":  true,
		"/dev/root / ext4 ro,relatime 0 0\n":  false,
		"/dev/root / ext4 rw 0 0":             true,
		"/dev/ubdb /var xfs rw,noatime 0 0\n": true,
		"proc /proc proc rw,relatime 0 0\n":   false,
		"/dev/ubda / ext4 ro 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/ubdb /b ext4 rw,x 0 0\n": true,
		"/dev/ubda / ext4": false,
	} {
		if got := writes(mounts); got != want {
			t.Errorf("%q: got %v", mounts, got)
		}
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		s    Stopped
		want string
	}{
		{Stopped{}, "web: was down"},
		{Stopped{Outcome: NotStarted, Took: time.Second}, "web: was not up yet"},
		{Stopped{Outcome: Clean, Took: 3240 * time.Millisecond}, "web: clean (3.2s)"},
		{Stopped{Outcome: Killed, Took: time.Minute, Why: errors.New("no\x1b[2J answer")}, `web: killed (60.0s): no\x1b[2J answer`},
		{Stopped{Outcome: Clean, Back: errors.New("permission denied")}, "web: clean (0.0s); its supervisor was not told, and may start it again: permission denied"},
	} {
		if got := c.s.Line("web"); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// On a terminal the last line says who is waited for, and is gone at the end.
func TestProgress(t *testing.T) {
	var out, terminal bytes.Buffer
	wrong := errors.New("wrong")
	var p *Progress
	shown := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.shown
	}
	p = &Progress{Out: &out, Terminal: &terminal}
	errs := p.Each([]*Machine{{Name: "mail"}, {Name: "web"}}, func(m *Machine) (Stopped, error) {
		if m.Name == "mail" {
			return Stopped{}, wrong
		}
		for !shown() {
			time.Sleep(10 * time.Millisecond)
		}
		return Stopped{Outcome: Clean}, nil
	})
	if errs[0] != wrong || errs[1] != nil || out.String() != "web: clean (0.0s)\n" {
		t.Errorf("got %v, %q", errs, out.String())
	}
	if got := terminal.String(); !strings.HasPrefix(got, "waiting for 1: web") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("on the terminal: %q", got)
	}
}
