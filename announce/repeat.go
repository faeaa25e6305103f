package announce

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Receivers ignore a change within a second of the last one (neigh/locktime), and
// a wire can lose a frame: so all is said three times.
const (
	again = 2
	Apart = 1100 * time.Millisecond
)

// A Repeater says again what was said once, unless it is told not to.
type Repeater struct{ stop int }

// Say announces the addresses, and leaves a child behind that does so twice more
// and ends, whatever becomes of the caller: it may exec. The child holds nothing
// of the caller's but two sockets, and its memory. What could not be said at once is
// an error, and said later all the same. Nil: nothing to say, or nobody to say it.
func Say(on Interface, addrs []netip.Addr) (*Repeater, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	v, err := newVoice(on, addrs)
	if err != nil {
		return nil, fmt.Errorf("announce on %s: %w", on.Name, err)
	}
	defer v.close()
	if err = v.once(); err != nil {
		err = fmt.Errorf("announce on %s: %w", on.Name, err)
	}
	r, e := v.leave()
	if e != nil {
		err = errors.Join(err, fmt.Errorf("announce on %s again: %w", on.Name, e))
	}
	return r, err
}

// Leave lets the child go on without us.
func (r *Repeater) Leave() {
	if r != nil {
		unix.Close(r.stop)
	}
}

// Stop keeps the child from saying more: the addresses are given back.
func (r *Repeater) Stop() {
	if r != nil {
		unix.Send(r.stop, []byte{0}, unix.MSG_NOSIGNAL)
		unix.Close(r.stop)
	}
}

// leave forks twice, so that init is told of the child's end, or who else takes care
// of orphans, and not the guest kernel, which would keep it as a zombie.
func (v *voice) leave() (*Repeater, error) {
	line, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(line[0])
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// No handler of the Go runtime may run in the child.
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		unix.Close(line[1])
		return nil, err
	}
	pid, e := fork(newChild(v, line[0]))
	unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	if e != 0 {
		unix.Close(line[1])
		return nil, e
	}
	var status unix.WaitStatus
	for err = unix.EINTR; err == unix.EINTR; {
		_, err = unix.Wait4(int(pid), &status, 0, nil)
	}
	if err == nil && status.ExitStatus() != 0 {
		err = fmt.Errorf("fork: %w", unix.Errno(status.ExitStatus()))
	}
	if err != nil {
		unix.Close(line[1])
		return nil, err
	}
	return &Repeater{line[1]}, nil
}

// A child is all that one needs, made before the fork.
type child struct {
	messages []message
	keep     [3]int32 // descriptors, -1: none; they become 0, 1 and 2
	poll     unix.PollFd
	apart    unix.Timespec
	root     [2]byte
	name     [16]byte
	heard    byte
}

func newChild(v *voice, stop int) *child {
	c := &child{
		keep:  [3]int32{int32(stop), -1, -1},
		poll:  unix.PollFd{Fd: 0, Events: unix.POLLIN},
		apart: unix.NsecToTimespec(int64(Apart)),
		root:  [2]byte{'/', 0},
	}
	copy(c.name[:], "uml-announce")
	slot := map[int32]int32{}
	for i, fd := range v.fds {
		c.keep[i+1], slot[int32(fd)] = int32(fd), int32(i+1)
	}
	for _, m := range v.messages {
		m.fd = slot[m.fd]
		c.messages = append(c.messages, m)
	}
	return c
}

// fork returns in the caller only. The child is a copy of one thread of a Go
// program, whose runtime is dead: it may not allocate, nor grow its stack, nor be
// preempted, so it makes bare system calls from this one function.
//
//go:norace
//go:nosplit
//go:noinline
func fork(c *child) (pid uintptr, e unix.Errno) {
	pid, _, e = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		return pid, e
	}
	if pid, _, e = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); e != 0 || pid != 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(e), 0, 0)
	}
	// The locks, the log and the machine directory are nothing of ours.
	for i := range c.keep {
		unix.RawSyscall(unix.SYS_CLOSE, uintptr(i), 0, 0)
	}
	for i, fd := range c.keep {
		if fd >= 0 {
			if _, _, e = unix.RawSyscall(unix.SYS_DUP3, uintptr(fd), uintptr(i), 0); e != 0 {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
			}
		}
	}
	_, _, e = unix.RawSyscall(unix.SYS_CLOSE_RANGE, 3, ^uintptr(0), 0)
	if e != 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
	unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	unix.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&c.root)), 0, 0)
	unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&c.name)), 0)
	for range again {
		// The line's end without a word is the caller's exec, or its exit.
		left := c.apart
		if n, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&c.poll)), 1, uintptr(unsafe.Pointer(&left)), 0, 8, 0); e == 0 && n == 1 {
			n, _, _ = unix.RawSyscall(unix.SYS_READ, 0, uintptr(unsafe.Pointer(&c.heard)), 1)
			if n == 1 {
				break
			}
			c.poll.Fd = -1
			unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&c.poll)), 1, uintptr(unsafe.Pointer(&left)), 0, 8, 0)
		}
		for i := range c.messages {
			m := &c.messages[i]
			unix.RawSyscall6(unix.SYS_SENDTO, uintptr(m.fd), uintptr(unsafe.Pointer(&m.b[0])), uintptr(len(m.b)), 0, uintptr(m.to), m.size)
		}
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	return 0, 0
}
