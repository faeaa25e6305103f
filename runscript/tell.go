package runscript

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
)

// What a start waits for is told by its process's name (PR_SET_NAME, at most 15
// bytes; /proc/PID/comm): one system call, and the exec takes it away.
const (
	NameNoStart = "uml-run:nostart"
	NameUptime  = "uml-run:uptime"
	NameStagger = "uml-run:stagger"
	NamePace    = "uml-run:pace"
	NameRetry   = "uml-run:retry"
	nameBusy    = "uml-run"
)

// tell names the process, whose first thread must be the caller's.
func tell(name string) {
	b := append([]byte(name), 0)
	unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0)
}

// IsKernel says whether the process is a guest's kernel, in its jail.
func IsKernel(pid int) bool { return isKernel(pid) }

// failed leaves what a start failed with, for uml-ctl list and uml-metrics. That another holds the
// lock is that one's affair.
func (o Options) failed(err error) {
	var held *lock.Held
	dir, at := handle.OpenDir(o.Dir)
	if at != nil {
		return
	}
	defer dir.Close()
	if errors.As(err, &held) && held.Runs || os.Geteuid() != 0 {
		return
	}
	first := fault.Parts(err)[0]
	lock.Leave(dir, lock.Note{Since: time.Now(), Message: fault.Line(first.Error()), ID: fault.IDOf(first)})
}
