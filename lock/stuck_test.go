package lock

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A stray that SIGKILL does not end, as one that waits for a broken disc or server
// (state D): here a tracer holds it in the middle of its exit, its files open.
func TestTakeNamesAStrayThatStays(t *testing.T) {
	_, f := openLock(t)
	flock, stray := hold(t, f.Name(), guest)
	kill(t, flock)
	runtime.LockOSThread() // tracing belongs to the thread
	defer runtime.UnlockOSThread()
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(stray), 0, unix.PTRACE_O_TRACEEXIT, 0, 0); e != 0 {
		t.Fatal("PTRACE_SEIZE:", e)
	}
	defer func() {
		unix.Kill(stray, unix.SIGKILL)
		unix.Wait4(stray, nil, unix.WALL, nil)
		unix.PtraceDetach(stray)
	}()
	began := time.Now()
	err := Take(f, guest, silent(t))
	want := fmt.Sprintf("%s: held by stray process %d of a killed guest kernel, ", f.Name(), stray)
	if err == nil || !strings.HasPrefix(err.Error(), want) || fault.Code(err) != fault.MayPass {
		t.Errorf("after %v got %v, want %q", time.Since(began), err, want)
	}
}
