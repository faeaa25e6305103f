package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Groups says whether a guest is held to its shares by a control group of its own.
type Groups int

const (
	GroupsAuto    Groups = iota // as far as the host has them
	GroupsRequire               // or it does not start
	GroupsNone                  // it stays where its supervisor is
)

func (g Groups) String() string { return [...]string{"auto", "require", "none"}[g] }

func parseGroups(s string) (Groups, error) {
	for g := GroupsAuto; g <= GroupsNone; g++ {
		if s == g.String() {
			return g, nil
		}
	}
	return 0, fmt.Errorf("%q is no way to use control groups (try auto, require or none)", s)
}

// DefaultWeight is the kernel's own: who has it gets as much as each other that has.
const DefaultWeight = 100

// A CPUShare is what a guest has of the processors when others want them too, and at most.
type CPUShare struct {
	Weight int // 1 to 10000
	Limit  int // in hundredths of a processor; 0: none
}

// An IOShare is that for the devices which its discs are on.
type IOShare struct {
	Weight        int  // 1 to 10000
	Read, Write   Size // bytes a second; 0: no limit
	Reads, Writes int  // operations a second; 0: no limit
}

// Limited says whether anything but the weight is set.
func (s IOShare) Limited() bool { s.Weight = 0; return s != IOShare{} }

// AsksShare says whether the setting is there, and not its default alone.
func (m *Machine) AsksShare(setting string) bool { return slices.Contains(m.shares, setting) }

// setShare takes lines of a word and its value, each once.
func setShare(lines []string, set func(word, value string) error) error {
	if len(lines) == 0 {
		return errEmpty
	}
	var errs []error
	seen := map[string]bool{}
	for _, l := range lines {
		word, value, _ := strings.Cut(l, " ")
		err := set(word, strings.TrimSpace(value))
		if seen[word] {
			err = fmt.Errorf("there is another line about the same")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", l, err))
		}
		seen[word] = true
	}
	return errors.Join(errs...)
}

func (m *Machine) setCPU(lines []string) error {
	return setShare(lines, func(word, v string) (err error) {
		switch word {
		case "weight":
			m.CPU.Weight, err = parseNumber(v, 1, 10000)
		case "limit":
			m.CPU.Limit, err = parseProcessors(v)
		default:
			err = fmt.Errorf("a share of the processors is weight N or limit PROCESSORS (try: limit 1.5)")
		}
		return err
	})
}

func (m *Machine) setIO(lines []string) error {
	return setShare(lines, func(word, v string) (err error) {
		switch word {
		case "weight":
			m.IO.Weight, err = parseNumber(v, 1, 10000)
		case "read":
			m.IO.Read, err = ParseSize(v)
		case "write":
			m.IO.Write, err = ParseSize(v)
		case "reads":
			m.IO.Reads, err = parseNumber(v, 1, 1<<30)
		case "writes":
			m.IO.Writes, err = parseNumber(v, 1, 1<<30)
		default:
			err = fmt.Errorf("a share of the discs is weight N, read or write BYTES a second, reads or writes N a second (try: write 20M)")
		}
		return err
	})
}

// parseProcessors reads how many, with at most two decimals: "1.5" is 150. Less than a
// hundredth the kernel does not take (kernel/sched/core.c, min_cfs_quota_period).
func parseProcessors(s string) (hundredths int, err error) {
	whole, part, dot := strings.Cut(s, ".")
	n, err := parseNumber(whole, 0, 10000)
	if err == nil && dot {
		if len(part) == 1 {
			part += "0"
		}
		hundredths, err = parseNumber(part, 0, 99)
	}
	hundredths += 100 * n
	if err != nil || hundredths == 0 || dot && len(part) != 2 || strings.Trim(s, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is no number of processors (try 0.5 or 2)", s)
	}
	return hundredths, nil
}

// finishShares makes the defaults that follow from other settings. Beside the RAM there
// are the kernel's image, the pages that map the RAM into each of the guest's
// processes, their stacks in the host's kernel, and what the host's page cache has of
// the discs, which the group's limit holds down but never runs out of. Of Debian's 6.1 on
// 6.18 an idle guest of 64M takes 2.1 MB besides its RAM and the image, and each small
// process 0.11 MB of the host's kernel.
func (m *Machine) finishShares() {
	if m.Overhead < 0 {
		m.Overhead = (64*mib + m.Mem/2) &^ (mib - 1)
	}
	if m.PIDs < 0 {
		m.PIDs = m.NProc + kernelThreads
	}
}

// kernelThreads is room for what of a guest's processes on the host is no process of the
// guest's: its kernel, that kernel's helpers, and the start's own threads before.
const kernelThreads = 64
