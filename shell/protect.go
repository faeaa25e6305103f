package shell

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/seccomp"
)

// Protect shuts the process in, before it does anything else: a guest that was broken
// out of runs as the same account, and is to get nothing of it; and if this program
// is fooled itself, it can start no other.
func Protect() error {
	// No process of the account may trace it, or look into it (ptrace(2), "Ptrace access
	// mode checking"), and no image of it is written. Its own threads still may, which
	// paths below /proc/self/fd need.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid tracing: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limit core: %w", err)
	}
	if err := closeInherited(); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	return seccomp.NoExec()
}

// closeInherited closes what was left open for us. It survived the exec, and so it is
// what is not to be closed by one: what the runtime and the library open is.
func closeInherited() error {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range all {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
	return nil
}
