package usage

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"uml/roster"
)

// A control group's own counts are taken where it has them, and nothing else told.
func TestGroup(t *testing.T) {
	dir := t.TempDir()
	none := Total{CPU: -1, Reads: -1, Writes: -1, Swapped: -1}
	got := none
	if got.group(dir); got != none {
		t.Errorf("without a file: %+v", got)
	}
	for name, text := range map[string]string{
		"cpu.stat":            "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n",
		"io.stat":             "8:0 rbytes=4096 wbytes=0 rios=3 wios=1 dbytes=0 dios=9\n253:1 rbytes=1 wbytes=1 rios=4 wios=0 dbytes=0 dios=0\n7:0\n",
		"memory.swap.current": "8192\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got.group(dir); got != (Total{CPU: 2.5, Reads: 7, Writes: 1, Swapped: 8192}) {
		t.Errorf("got %+v", got)
	}
}

// What its process has taken is told of a guest that is up, of others nothing.
func TestTotals(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	all := Totals([]*roster.Machine{
		{Dir: "up", State: roster.Up, PID: cmd.Process.Pid, Resident: 1, TAP: "lo"},
		{Dir: "gone", State: roster.Up, PID: 1<<31 - 1, Resident: 1},
		{Dir: "starts", State: roster.Starting, PID: cmd.Process.Pid, Resident: 1},
	})
	if up := all["up"]; len(all) != 2 || up.CPU < 0 || up.CPU > 10 || up.Read < 0 || up.In.Packets < 0 {
		t.Errorf("got %+v", all)
	}
	if gone := all["gone"]; gone.CPU >= 0 || gone.Read >= 0 || gone.In.Bytes >= 0 {
		t.Errorf("of no process: %+v", gone)
	}
}
