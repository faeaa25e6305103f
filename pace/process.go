package pace

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"uml/fault"
	"uml/handle"
)

// A process for good: Start is when it was started, in ticks since the boot. An exec
// changes neither.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

func self() (process, error) {
	t, err := stat(os.Getpid())
	return process{os.Getpid(), t.start}, err
}

// lives: what cannot be read is gone. A zombie has let all go but its number.
func (p process) lives() bool {
	t, err := stat(p.PID)
	return err == nil && t.start == p.Start && t.state != 'Z' && t.state != 'X'
}

func stopped(pid int) bool {
	t, err := stat(pid)
	return err == nil && (t.state == 'T' || t.state == 't')
}

// Took is how much time of processors a process has had.
func Took(pid int) (time.Duration, error) {
	t, err := stat(pid)
	return time.Duration(t.had) * time.Second / hertz, err
}

// hertz is what /proc counts time in, on every architecture there is (USER_HZ).
const hertz = 100

// times are of /proc/PID/stat, in ticks.
type times struct {
	state byte
	had   uint64 // of processors
	start uint64 // since the boot
}

func stat(pid int) (times, error) {
	text, err := handle.ReadProc("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return times{}, err
	}
	return parseStat(string(text))
}

// parseStat takes fields 3, 14, 15 and 22 (proc_pid_stat(5)); a program may have given
// itself a name with spaces and brackets.
func parseStat(text string) (t times, err error) {
	f := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	if len(f) < 20 {
		return t, fault.Temporary("%q is no process's stat", text)
	}
	user, err1 := strconv.ParseUint(f[11], 10, 64)
	system, err2 := strconv.ParseUint(f[12], 10, 64)
	start, err3 := strconv.ParseUint(f[19], 10, 64)
	return times{f[0][0], user + system, start}, errors.Join(err1, err2, err3)
}
