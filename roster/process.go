package roster

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"uml/handle"
	"uml/process"
	"uml/runscript"
)

// A proc is a process as /proc shows it; the zero one is gone, or dead and not waited for.
type proc struct {
	pid      int
	name     string // which it can choose
	user     int
	kernel   bool // in its jail
	state    byte // R, S, T and so on
	resident int64
	started  time.Time
}

func look(pid int) (p proc) {
	status, err := handle.ReadProc(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return p
	}
	p = parse(status)
	if p.pid != pid {
		return proc{}
	}
	p.started = startedAt(pid)
	p.kernel = runscript.IsKernel(pid)
	return p
}

// start: a program of ours that is still root's. A guest has no such process.
func (p proc) start() bool { return p.user == 0 && strings.HasPrefix(p.name, "uml-run") }

// parse reads /proc/PID/status (proc_pid_status(5)).
func parse(status []byte) (p proc) {
	for line := range bytes.Lines(status) {
		field, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		value = strings.TrimSpace(value)
		number, _, _ := strings.Cut(strings.ReplaceAll(value, "\t", " "), " ")
		n, _ := strconv.ParseInt(number, 10, 64)
		switch field {
		case "Name":
			p.name = value
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return proc{}
			}
			if value != "" {
				p.state = value[0]
			}
		case "Pid":
			p.pid = int(n)
		case "Uid":
			p.user = int(n)
		case "VmRSS":
			p.resident = n << 10
		}
	}
	return p
}

// booted is when the host was.
var booted = sync.OnceValue(func() time.Time {
	text, _ := handle.ReadProc("/proc/uptime")
	first, _, _ := strings.Cut(string(text), " ")
	up, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up * float64(time.Second)))
})

// startedAt is when the process was forked; the zero time if that is not known.
func startedAt(pid int) (t time.Time) {
	p, err := process.Look(pid)
	if err != nil || booted().IsZero() {
		return t
	}
	return booted().Add(time.Duration(p.Start) * (time.Second / process.Hertz))
}
