package inject

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hostMark = "uml-inject-host"

// notYet is no descriptor, nor the -1 of an error.
const notYet = -2

var byteOrder = binary.NativeEndian

// A program that imports this package is a Host's process if it is told so.
func init() {
	if len(os.Args) != 2 || os.Args[1] != hostMark {
		return
	}
	unix.CloseOnExec(3)
	conn, err := net.FileConn(os.NewFile(3, "orders"))
	if err == nil {
		err = serve(conn.(*net.UnixConn))
	}
	fmt.Fprintln(os.Stderr, "inject:", err)
	os.Exit(1)
}

// serve starts a program for each order, one after the other. Until a listener is
// handed over no thread may be waited for that has a filter: so a second one is there
// to run the rest, and memory is collected only between orders.
func serve(conn *net.UnixConn) error {
	runtime.GOMAXPROCS(4)
	debug.SetGCPercent(-1)
	order := make([]byte, 64<<10)
	for {
		n, err := conn.Read(order)
		if err != nil || n == 0 {
			os.Exit(0)
		}
		var plan Plan
		if err := json.Unmarshal(order[:n], &plan); err != nil {
			return err
		}
		runtime.GC()
		status, err := start(conn, plan)
		if err != nil {
			return err
		}
		if _, err := conn.Write(byteOrder.AppendUint32(nil, uint32(status))); err != nil {
			return err
		}
	}
}

// start runs the program from a thread that has the filter and ends with it: the
// program inherits it.
func start(conn *net.UnixConn, plan Plan) (status syscall.WaitStatus, err error) {
	output, err := os.Create(plan.Output)
	if err != nil {
		return 0, err
	}
	defer output.Close()
	cmd := exec.Command(plan.Args[0], plan.Args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = plan.Dir, output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var listener atomic.Int32
	listener.Store(notYet)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := listen(filter(plan))
		// Nothing of the runtime may come between: from here on each of this thread's
		// calls may wait for an answer, with all that the thread holds of the runtime.
		listener.Store(int32(fd))
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	for listener.Load() == notYet {
		time.Sleep(100 * time.Microsecond)
	}
	if fd := int(listener.Load()); fd >= 0 {
		_, _, err = conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil)
		unix.Close(fd)
	}
	if startErr := <-started; startErr != nil {
		return 0, startErr
	}
	cmd.Wait()
	return cmd.ProcessState.Sys().(syscall.WaitStatus), err
}

func listen(filter []unix.SockFilter) (int, error) {
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return -1, fmt.Errorf("seccomp: %w", e)
	}
	return int(fd), nil
}

// filter notifies of execve; of brk, which Go programs do not make and which is
// the first call of all others; and of what the plan wants.
func filter(plan Plan) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	notify := []unix.SockFilter{{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF}}
	allow := []unix.SockFilter{{Code: ret, K: unix.SECCOMP_RET_ALLOW}}
	on := func(nr uint64, do []unix.SockFilter) []unix.SockFilter {
		return append([]unix.SockFilter{{Code: equal, K: uint32(nr), Jf: 1}}, do...)
	}
	all := []unix.SockFilter{{Code: load}} // seccomp_data's first field: the number
	all = slices.Concat(all, on(unix.SYS_BRK, notify), on(unix.SYS_EXECVE, notify))
	if plan.List {
		for nr := range noise {
			all = append(all, on(nr, allow)...)
		}
		return append(all, notify...)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(plan.Point, childMark), " ")
	for nr, c := range calls {
		if c.name == name {
			all = append(all, on(nr, notify)...)
		}
	}
	return append(all, allow...)
}
