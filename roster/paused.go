package roster

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// paused says until when a guest's kernel does nothing; "" if it goes on, or if who
// looks may not see that (proc_pid_syscall(5): who may trace it).
//
// A kernel that is told to stop waits for its next command in recvfrom(2)
// (arch/um/drivers/mconsole_kern.c, mconsole_stop). Else it never sleeps there: all
// sockets that it reads are ones that do not wait.
func paused(p proc) string {
	switch p.state {
	case 'T':
		return "until its process is sent SIGCONT (svc -c)"
	case 'S':
		call, err := handle.ReadProc(fmt.Sprintf("/proc/%d/syscall", p.pid))
		if err == nil && strings.HasPrefix(string(call), fmt.Sprint(unix.SYS_RECVFROM, " ")) {
			return "until uml-ctl resume"
		}
	}
	return ""
}
