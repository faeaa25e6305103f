package check

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/jail"
)

// calls are the system calls that a start cannot do without, tried on nothing: what
// matters is only whether the kernel has them.
var calls = []struct {
	name  string
	since string
	try   func() error
}{
	{"pidfd_open", "5.3", func() error { return closed(unix.PidfdOpen(os.Getpid(), 0)) }},
	{"openat2", "5.6", func() error {
		return closed(unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH}))
	}},
	{"open_tree", "5.2", func() error {
		return closed(unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
	}},
	{"move_mount", "5.2", func() error { return unix.MoveMount(-1, "", -1, "", 0) }},
	{"close_range", "5.9", func() error { return unix.CloseRange(1, 0, 0) }},
	{"mount_setattr", "5.12", func() error { return unix.MountSetattr(-1, "", 0, &unix.MountAttr{}) }},
}

func closed(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func (c *checker) kernel() {
	release := release()
	before := len(c.host.errs)
	for _, call := range calls {
		switch err := call.try(); {
		case errors.Is(err, unix.ENOSYS):
			c.host.fail("kernel", fault.Permanent("kernel %s has no %s, which came with %s (a start needs 5.12: try: apt-get install linux-image-amd64)", release, call.name, call.since))
		case errors.Is(err, unix.EPERM):
			c.host.fail("kernel", fault.Permanent("%s is forbidden here (a container? run it on the host itself)", call.name))
		}
	}
	if len(c.host.errs) == before {
		c.host.ok("kernel", "%s has all that a start uses (5.12 is the oldest)", release)
	}
}

// confinement: what the host lacks of Landlock, guests run without.
func (c *checker) confinement() {
	if _, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail"); err != nil {
		c.host.fail("confinement", fault.Permanent("this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER; settings/seccomp: off starts without)"))
		return
	}
	abi := jail.LandlockABI()
	for _, l := range []struct {
		abi  int
		lack string
	}{
		{1, "files, ptrace of other processes, TCP, signals and abstract sockets (CONFIG_SECURITY_LANDLOCK, and landlock in /sys/kernel/security/lsm)"},
		{4, "TCP, signals and abstract sockets (6.12 has them)"},
		{6, "signals and abstract sockets (6.12 has them)"},
	} {
		if abi < l.abi {
			c.host.warn("confinement", "seccomp; Landlock ABI %d does not hold a guest's kernel back from %s", abi, l.lack)
			return
		}
	}
	c.host.ok("confinement", "seccomp; Landlock ABI %d: files, TCP, signals, abstract sockets", abi)
}

func release() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return fmt.Sprintf("of unknown version (%v)", err)
	}
	return strings.TrimSpace(string(text))
}
