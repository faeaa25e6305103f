package settings

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A Pace is how fast guests follow each other when many are to start at once.
type Pace struct {
	Slots int           // guests that boot at once; 0: any number, and nobody waits
	Limit time.Duration // a guest that has booted for so long is waited for no more

	// Percent of time in which some task waits for it ("some avg10" of /proc/pressure)
	// above which no further guest is started while others boot; 100: never.
	CPU, IO, Memory int
}

// defaultPace: with two slots a processor the last guest of a host's boot comes nearly as early
// as when all start at once, and half of them earlier (make bench-pace). That
// some task waits for a processor is so on any busy host, however many it has: there is
// no limit for that.
func defaultPace() Pace {
	return Pace{Slots: min(2*runtime.NumCPU(), maxSlots), Limit: time.Minute, CPU: 100, IO: 80, Memory: 20}
}

// maxSlots is more guests than any host boots at once.
const maxSlots = 1000

// setPressure: a line a resource; those that are not named keep the default, and an
// empty file has nobody wait for any.
func (p *Pace) setPressure(lines []string) error {
	if len(lines) == 0 {
		p.CPU, p.IO, p.Memory = 100, 100, 100
		return nil
	}
	seen := map[string]bool{}
	for _, l := range lines {
		what, value, _ := strings.Cut(l, " ")
		of := map[string]*int{"cpu": &p.CPU, "io": &p.IO, "memory": &p.Memory}[what]
		n, err := parseNumber(strings.TrimSpace(value), 1, 100)
		if of == nil || err != nil {
			return fmt.Errorf("%q is no pressure (try: cpu 90, io 80, memory 20, one a line; 100 for any)", l)
		}
		if seen[what] {
			return fmt.Errorf("%q: %s stands twice", l, what)
		}
		seen[what], *of = true, n
	}
	return nil
}
