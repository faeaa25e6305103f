package netsetup

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// monitor is what ip-monitor(8) hears while f runs.
func monitor(t *testing.T, s *space, f func()) string {
	t.Helper()
	var out bytes.Buffer
	var err error
	s.do(func() {
		cmd := exec.Command("ip", "monitor", "link", "address", "route", "neigh", "netconf", "rule")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err = cmd.Start(); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond) // until it listens
		f()
		time.Sleep(100 * time.Millisecond)
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
	})
	if err != nil {
		t.Fatal("ip monitor:", err)
	}
	var heard []string
	for l := range strings.Lines(out.String()) {
		if !strings.Contains(l, "lladdr") { // learned by itself
			heard = append(heard, l)
		}
	}
	return strings.Join(heard, "")
}
