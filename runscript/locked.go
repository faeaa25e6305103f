package runscript

import (
	"fmt"
	"os"
	"strings"

	"uml/cgroup"
	"uml/fault"
	"uml/jail"
)

// lockMemory makes sure that the setting lock can be kept (paper 5.4): by the jail's
// tmpfs, or on hosts before Linux 6.4 by the guest's own control group, or one that the
// start is in already.
// That the host has no swap at present is no way: some may be added while the guest
// runs.
func (s *start) lockMemory() (err error) {
	if !s.m.Lock {
		return nil
	}
	if s.room.NoSwap, err = jail.CanNoSwap(); err != nil || s.room.NoSwap {
		return err
	}
	if s.groups != nil && s.groups.Lost["memory"] == "" {
		s.byGroup = true
		return nil
	}
	group, err := s.unswapped()
	if err == nil && group == "" {
		err = fault.HostNoNoswap.Permanent("%s: this host cannot keep the guest's RAM out of swap: its tmpfs has no noswap (Linux 6.4), and no control group of version 2 that the start is in has memory.swap.max 0 (give the supervisor one; or remove the file, and see vm.swappiness)", s.dir.Join("settings/lock"))
	}
	if err != nil {
		return err
	}
	s.plan("check", "%s: memory.swap.max is 0", group)
	return nil
}

// unswapped looks at this process's groups, which stay its guest's where that gets none
// of its own. Who only looks is in others, and says of a guest that runs how that stands.
func (s *start) unswapped() (string, error) {
	v, err := cgroup.Look(s.whose())
	if err != nil {
		return "", err
	}
	if s.groups != nil {
		return v.UnswappedAbove(s.groups.Top)
	}
	return v.Unswapped()
}

// seeLocked also finds a guest that was started before lock was set.
func (s *start) seeLocked() error {
	if err := s.lockMemory(); err != nil {
		return err
	}
	if s.m.Lock && s.room.NoSwap && s.seen.State == Up && !noSwapMounted(s.seen.holders[0].PID) {
		s.seen.warn("the guest was started without settings/lock, and its RAM can be swapped out (try: uml-ctl restart " + s.m.Name + ")")
		return nil
	}
	switch {
	case !s.m.Lock:
		s.seen.well("%v may be swapped out by the host (settings/lock)", s.m.Mem)
	case s.room.NoSwap:
		s.seen.well("%v stay out of the host's swap: noswap", s.m.Mem)
	}
	return nil
}

func noSwapMounted(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return true // gone meanwhile
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, " /tmp ") && strings.Contains(line, " - tmpfs ") {
			return strings.Contains(line, "noswap")
		}
	}
	return true
}
