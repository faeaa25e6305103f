// Package memory reckons with a guest's memory while it runs: what of it can be taken
// away, and how. The guest's kernel takes all that is free when it is asked for more,
// and says OK (arch/um/drivers/mconsole_kern.c, mem_config): so it is asked for no more
// than it has, step by step.
//
// Of the host it knows the RAM, and whether a control group keeps guests out of swap.
package memory

import (
	"fmt"
	"strconv"
	"strings"

	"uml/fault"
	"uml/settings"
)

// Info is what a guest's kernel says of its memory (/proc/meminfo), in bytes.
type Info struct {
	Total, Free, Available settings.Size
}

// Parse reads a guest's meminfo, which is whatever the guest makes of it.
func Parse(meminfo string) (i Info, err error) {
	for name, to := range map[string]*settings.Size{"MemTotal": &i.Total, "MemFree": &i.Free, "MemAvailable": &i.Available} {
		if *to, err = field(meminfo, name); err != nil {
			return Info{}, err
		}
	}
	return i, nil
}

func field(meminfo, name string) (settings.Size, error) {
	for line := range strings.Lines(meminfo) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseInt(number, 10, 43)
		if err != nil || n < 0 || unit != "kB" {
			return 0, fault.Temporary("the guest's meminfo says %q of %s", strings.TrimSpace(rest), name)
		}
		return settings.Size(n) << 10, nil
	}
	return 0, fault.Temporary("the guest's meminfo says nothing of %s", name)
}

const mib = settings.Size(1) << 20

// Floor is what a guest is always left of what is available: a sixteenth of its
// memory, at least 4M.
func Floor(total settings.Size) settings.Size { return max(4*mib, total/16) }

// Spare is what can be taken from the guest.
func (i Info) Spare() settings.Size {
	return max(0, i.Available-Floor(i.Total)) / mib * mib
}

// Step is how much of wanted is to be taken next: of what is free all but low, the
// pages that the guest's kernel keeps for itself (vm.min_free_kbytes). Having come
// that far it frees what it holds of files, for the next step.
func (i Info) Step(wanted, low settings.Size) settings.Size {
	return max(0, min(wanted, i.Free-low, i.Spare())) &^ 0xfff
}

// Enough is an error if the guest cannot give wanted.
func (i Info) Enough(name string, now, wanted settings.Size) error {
	if spare := i.Spare(); wanted > spare {
		return fault.GuestRefuses.Temporary("%s: needs what it has: it can be taken %v at present, to %v (a guest that gives all ends its processes)", name, spare, now-spare)
	}
	return nil
}

// A Note is how much was taken, and of which boot of the guest: a kernel that executes
// itself anew has all again.
type Note struct {
	Taken settings.Size
	Boot  string
}

func (n Note) String() string { return fmt.Sprintf("%d %s", int64(n.Taken), n.Boot) }

// ParseNote reads a note; of another boot there is none.
func ParseNote(text, boot string) Note {
	var taken int64
	var of string
	if _, err := fmt.Sscan(text, &taken, &of); err != nil || of != boot || taken < 0 {
		return Note{Boot: boot}
	}
	return Note{settings.Size(taken), boot}
}
