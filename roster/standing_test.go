package roster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/handle"
	"uml/supervisor"
)

// What each real supervisor's status tells of a process that is to end and does not:
// that it shall be down; or, of s6, no more than that it is not started again.
func TestToldToEnd(t *testing.T) {
	const again = "is not started again when it ends"
	for program, told := range map[string]Machine{
		"supervise":    {State: Stopping},
		"runsv":        {State: Stopping},
		"s6-supervise": {State: Starting, Notes: []string{again}},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			at := filepath.Join(root, "web")
			if err := os.MkdirAll(filepath.Join(at, "settings"), 0o755); err != nil {
				t.Fatal(err)
			}
			run := "#!/bin/sh\ntrap '' TERM\necho >ran\nwhile :; do sleep 0.1; done\n"
			if err := os.WriteFile(filepath.Join(at, "run"), []byte(run), 0o755); err != nil {
				t.Fatal(err)
			}
			dir, err := handle.OpenDir(at)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			cmd := exec.Command(program, at)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if s, err := supervisor.Read(dir); err == nil && s.PID != 0 {
					unix.Kill(s.PID, unix.SIGKILL)
				}
				cmd.Process.Kill()
				cmd.Wait()
			}()
			for {
				if _, err := os.Stat(filepath.Join(at, "ran")); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			is := func(after string, want Machine) {
				t.Helper()
				var m *Machine
				for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					m, err = NewRound(root, root).Machine(at)
					if err == nil && m.State == want.State && slices.Equal(m.Notes, want.Notes) && m.PID != 0 {
						return
					}
				}
				t.Errorf("%s: got %+v, %v; want %s, %q", after, m, err, want.State, want.Notes)
			}
			send := func(o supervisor.Order) {
				t.Helper()
				if err := supervisor.Send(dir, o); err != nil {
					t.Fatal(err)
				}
			}
			is("up", Machine{State: Starting})
			send(supervisor.Stay)
			is("stay", Machine{State: Starting, Notes: []string{again}})
			send(supervisor.Start)
			is("up again", Machine{State: Starting})
			send(supervisor.Stop)
			is("down", told)
		})
	}
}
