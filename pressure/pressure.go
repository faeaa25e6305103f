// Package pressure is how much tasks wait for processors, discs and memory, as a kernel
// tells it (PSI, Documentation/accounting/psi.rst).
package pressure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"uml/fault"
	"uml/handle"
)

// Some is the share of the last ten seconds, in percent, in which some task waited for it.
// The kernel reckons it anew every two seconds.
type Some struct{ CPU, IO, Memory float64 }

func (s Some) String() string { return fmt.Sprintf("%.0f/%.0f/%.0f", s.CPU, s.Memory, s.IO) }

// ErrNone: this kernel does not measure it (CONFIG_PSI, psi=0).
var ErrNone = errors.New("this kernel does not measure pressure (/proc/pressure)")

// Host is the host's.
func Host() (Some, error) { return read("/proc/pressure/", "") }

// Group is that of the control group in dir.
func Group(dir string) (Some, error) { return read(dir+"/", ".pressure") }

func read(before, after string) (s Some, err error) {
	for name, to := range map[string]*float64{"cpu": &s.CPU, "io": &s.IO, "memory": &s.Memory} {
		text, err := handle.ReadProc(before + name + after)
		if err != nil { // ENOENT, or EOPNOTSUPP
			return Some{}, fmt.Errorf("%w: %w", ErrNone, err)
		}
		if *to, err = Parse(string(text)); err != nil {
			return Some{}, fmt.Errorf("%s%s%s: %w", before, name, after, err)
		}
	}
	return s, nil
}

// Parse is the percent of "some avg10=1.25 avg60=0.00 avg300=0.00 total=77\nfull ...".
func Parse(text string) (percent float64, err error) {
	line, _, _ := strings.Cut(text, "\n")
	rest, ok := strings.CutPrefix(line, "some avg10=")
	number, _, _ := strings.Cut(rest, " ")
	percent, err = strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(0 <= percent && percent <= 100) { // NaN is neither
		return 0, fault.Temporary("%q is no pressure", text[:min(len(text), 40)])
	}
	return percent, nil
}

// Waited is how long since the host's boot some task has waited, by resource: "cpu", "io"
// and "memory". What is not told is left out.
func Waited() map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, name := range []string{"cpu", "io", "memory"} {
		text, err := handle.ReadProc("/proc/pressure/" + name)
		if err != nil {
			continue
		}
		if total, ok := parseTotal(string(text)); ok {
			all[name] = total
		}
	}
	return all
}

func parseTotal(text string) (time.Duration, bool) {
	line, _, _ := strings.Cut(text, "\n")
	_, number, ok := strings.Cut(line, " total=") // microseconds
	n, err := strconv.ParseInt(number, 10, 53)
	return time.Duration(n) * time.Microsecond, ok && err == nil && n >= 0 && strings.HasPrefix(line, "some ")
}
