package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Starter is a process that starts guests, or this one: under systemd what starts a guest is
// the guest's own unit, which is not there yet. Who looks is in another group: a log-in's.
func Starter() int {
	all, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		switch strings.TrimSpace(string(text)) {
		case "svscan", "runsvdir", "s6-svscan":
			var pid int
			if _, err := fmt.Sscanf(file, "/proc/%d/comm", &pid); err == nil {
				return pid
			}
		}
	}
	return os.Getpid()
}
