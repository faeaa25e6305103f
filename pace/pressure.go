package pace

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"uml/fault"
	"uml/settings"
)

// Pressure is the share of the last ten seconds, in percent, in which some task waited
// for it (Documentation/accounting/psi.rst). The kernel reckons it anew every two seconds.
type Pressure struct{ CPU, IO, Memory float64 }

// ErrNoPressure: this kernel does not measure it (CONFIG_PSI, psi=0).
var ErrNoPressure = errors.New("this kernel does not measure pressure (/proc/pressure)")

// HostPressure reads the host's.
func HostPressure() (p Pressure, err error) {
	for name, to := range map[string]*float64{"cpu": &p.CPU, "io": &p.IO, "memory": &p.Memory} {
		text, err := os.ReadFile("/proc/pressure/" + name)
		if err != nil { // ENOENT, or EOPNOTSUPP
			return Pressure{}, fmt.Errorf("%w: %w", ErrNoPressure, err)
		}
		if *to, err = parsePressure(string(text)); err != nil {
			return Pressure{}, fmt.Errorf("/proc/pressure/%s: %w", name, err)
		}
	}
	return p, nil
}

// parsePressure reads "some avg10=1.25 avg60=0.00 avg300=0.00 total=77\nfull ...".
func parsePressure(text string) (float64, error) {
	line, _, _ := strings.Cut(text, "\n")
	rest, ok := strings.CutPrefix(line, "some avg10=")
	value, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseFloat(value, 64)
	if !ok || err != nil || !(0 <= n && n <= 100) {
		return 0, fault.Temporary("%q is no pressure", text)
	}
	return n, nil
}

// over says what of it is too much: "pressure io 34 > 20"; "" if nothing is.
func (p Pressure) over(limit settings.Pace) string {
	for _, r := range []struct {
		name string
		now  float64
		most int
	}{{"io", p.IO, limit.IO}, {"memory", p.Memory, limit.Memory}, {"cpu", p.CPU, limit.CPU}} {
		if r.now > float64(r.most) {
			return fmt.Sprintf("pressure %s %.0f > %d", r.name, r.now, r.most)
		}
	}
	return ""
}
