package shell

import (
	"fmt"

	"golang.org/x/sys/unix"

	"uml/seccomp"
)

// Protect shuts the process in: a guest that was broken out of runs as the same
// account, and is to get nothing of it; and if this program is fooled itself, it can
// start no other.
func Protect() error {
	// No process of the account may trace it, or look into it (ptrace(2), "Ptrace access
	// mode checking"), and no image of it is written.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid tracing: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limit core: %w", err)
	}
	// What sshd may have left open is nothing of ours.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	return seccomp.NoExec()
}
