package inject

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notified follows one run, by what the kernel tells of its calls.
type notified struct {
	Result
	plan  Plan
	pid   atomic.Int32   // the program's, from its exec on
	whose map[int]owner  // by thread
	seen  map[string]int // points passed, by name
	ended bool           // it was killed
	hung  atomic.Bool
}

// notif is struct seccomp_notif of linux/seccomp.h.
type notif struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// follow answers one notification after the other until no process is left that
// could send any.
func (n *notified) follow(listener int) error {
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return err
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return nil // POLLHUP
		}
		var call notif
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&call)); err != nil {
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) { // it was killed meanwhile
				continue
			}
			return fmt.Errorf("receive a notification: %w", err)
		}
		answer := response{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno := n.judge(&call); errno != 0 {
			answer = response{id: call.id, error: -int32(errno)}
		}
		err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("answer a notification: %w", err)
		}
	}
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

// judge decides what the call is to say, 0 for what it says by itself.
func (n *notified) judge(call *notif) unix.Errno {
	if n.ended {
		return 0
	}
	if n.pid.Load() == 0 {
		if call.nr == unix.SYS_EXECVE {
			n.pid.Store(int32(call.pid))
		}
		return 0 // the Host's
	}
	who := n.owner(int(call.pid))
	if who == host {
		return 0
	}
	if call.nr == unix.SYS_BRK {
		n.Became = true
		if n.plan.Exec != nil {
			n.plan.Exec(int(n.pid.Load()))
		}
		n.kill()
		return 0
	}
	name := describe(call)
	if name == "" {
		return 0
	}
	if who == child {
		name = childMark + name
	}
	n.seen[name]++
	point := fmt.Sprintf("%s #%d", name, n.seen[name])
	if n.plan.List {
		n.Points = append(n.Points, point)
	}
	if point != n.plan.Point {
		return 0
	}
	n.Met = true
	if n.plan.Errno != 0 {
		return n.plan.Errno
	}
	if who == child {
		unix.Kill(int(call.pid), unix.SIGKILL)
		return 0
	}
	n.kill()
	return 0
}

const childMark = "child: "

func (n *notified) kill() {
	n.ended = true
	unix.Kill(int(n.pid.Load()), unix.SIGKILL)
}

func (n *notified) hang() {
	n.hung.Store(true)
	if pid := int(n.pid.Load()); pid != 0 {
		unix.Kill(-pid, unix.SIGKILL)
	}
}

// An owner is whose thread makes a call.
type owner int

const (
	host owner = iota // which starts the program
	program
	child
)

func (n *notified) owner(tid int) owner {
	who, known := n.whose[tid]
	if known {
		return who
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	pid := fmt.Sprint(n.pid.Load())
	switch {
	case strings.Contains(string(status), "\nTgid:\t"+pid+"\n"):
		who = program
	case strings.Contains(string(status), "\nPPid:\t"+pid+"\n"):
		who = child
	}
	n.whose[tid] = who
	return who
}
