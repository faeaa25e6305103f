// Package test holds the suite's promises against real parts: a guest kernel,
// supervise, two network namespaces. Each test has a lab of its own.
package test

import (
	"os"
	"slices"
	"syscall"
	"testing"

	"uml/test/lab"
)

const address = "192.0.2.20"

func guest(l *lab.Lab) *lab.Machine {
	return l.Machine("guest", lab.Settings{"ip4": address})
}

func TestBoots(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	before := l.Must("cat", "/proc/1/mountinfo")
	m := guest(l)
	m.Activate()
	pid := m.WaitUp(0)
	m.WaitLog("guest up")
	if exe, err := os.Readlink(l.Proc(pid, "exe")); err != nil || exe != "/room/linux" {
		t.Errorf("supervise watches %q, %v; want the kernel itself", exe, err)
	}
	if after := l.Must("cat", "/proc/1/mountinfo"); after != before {
		t.Errorf("the host sees mounts of the guest:\n%s", after)
	}
	m.Svc("-d")
	m.WaitDown()
	nothingRuns(t, l, m)
	if after := l.Must("cat", "/proc/1/mountinfo"); after != before {
		t.Errorf("the guest left mounts:\n%s", after)
	}
}

// A guest goes on in spite of what ends it, through all checks each time.
func TestComesBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*lab.Lab, *lab.Machine, int){
		"killed":  func(l *lab.Lab, m *lab.Machine, pid int) { l.Kill(pid, syscall.SIGKILL) },
		"reboots": func(l *lab.Lab, m *lab.Machine, pid int) { m.Tell("reboot -f") },
		"halts":   func(l *lab.Lab, m *lab.Machine, pid int) { m.Tell("halt -f") },
		"panics":  func(l *lab.Lab, m *lab.Machine, pid int) { m.Tell("echo c >/proc/sysrq-trigger") },
		"svc -t":  func(l *lab.Lab, m *lab.Machine, pid int) { m.Svc("-t") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := guest(l)
			m.Activate()
			first := m.WaitUp(0)
			end(l, m, first)
			second := m.WaitUp(first)
			for _, pid := range processes(t, l, m) {
				if old := slices.Contains(ancestors(t, l, pid), second); !old {
					t.Errorf("process %d of the guest is none of kernel %d", pid, second)
				}
			}
		})
	}
}

// nothingRuns waits until no process of the guest's user is left.
func nothingRuns(t *testing.T, l *lab.Lab, m *lab.Machine) {
	t.Helper()
	l.Wait("the last process of "+m.Name, func() bool { return len(processes(t, l, m)) == 0 })
}

// processes are those of the guest's user, zombies too.
func processes(t *testing.T, l *lab.Lab, m *lab.Machine) (pids []int) {
	t.Helper()
	return l.Processes(func(s lab.Status) bool { return s.Int("Uid") == m.UID })
}

// ancestors are pid, its parent, and so on.
func ancestors(t *testing.T, l *lab.Lab, pid int) (all []int) {
	t.Helper()
	for pid != 0 {
		all = append(all, pid)
		pid = l.Status(pid).Int("PPid")
	}
	return all
}
