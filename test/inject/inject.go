// Package inject starts a program and makes one of its system calls fail, or
// kills it there: by seccomp's user notification (seccomp_unotify(2)), so that the
// program sees what the kernel would tell it, holds no hook for it, and may itself
// trace, as a start does.
//
// A point is a call that the program makes: its name, what it is about, and how
// many such calls came before. Calls of the Go runtime that come and go from run
// to run are no points. What a child does is one, marked so. A call that fails is
// not made at all: this holds for close too, which the kernel always makes,
// whatever it says.
package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Plan is a run of a program, and what is to happen to it.
type Plan struct {
	Dir     string        // where it runs
	Output  string        // the file that takes what it says
	Args    []string      // the program's path and arguments
	Point   string        // "": nowhere
	Errno   unix.Errno    // what the call says; 0: its process is killed there instead
	List    bool          // whether to list the points
	Timeout time.Duration // after which the program hangs, and is killed
	// Exec is called when the program has become another, which makes its first
	// system call (brk, in ld.so). Then it is killed.
	Exec func(pid int) `json:"-"`
}

// A Result is how the program ended.
type Result struct {
	Points []string // all that it passed, in order, if they were to be listed
	Met    bool     // the point of the plan was among them
	Became bool     // it became another program
	Hung   bool
	Status syscall.WaitStatus
}

// A Host is where programs are started: a process of its own, since one that
// waits for an answer must not be the one that gives it.
type Host struct {
	cmd  *exec.Cmd
	conn *net.UnixConn
}

// Command are the arguments of the process that is to be the Host's.
func Command() []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{self, hostMark}
}

// Start starts cmd, in which Command must be what it comes to.
func Start(cmd *exec.Cmd) (*Host, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{theirs}
	return &Host{cmd, conn.(*net.UnixConn)}, cmd.Start()
}

// Close ends the process.
func (h *Host) Close() error {
	return errors.Join(h.conn.Close(), h.cmd.Wait())
}

// Run carries out the plan and returns when the program and all that it started
// have ended.
func (h *Host) Run(plan Plan) (Result, error) {
	order, err := json.Marshal(plan)
	if err != nil {
		return Result{}, err
	}
	if _, err := h.conn.Write(order); err != nil {
		return Result{}, err
	}
	listener, err := h.listener()
	if err != nil {
		return Result{}, err
	}
	n := &notified{plan: plan, whose: map[int]owner{}, seen: map[string]int{}}
	timer := time.AfterFunc(plan.Timeout, n.hang)
	err = n.follow(listener)
	unix.Close(listener)
	timer.Stop()
	n.Hung = n.hung.Load()
	if err != nil {
		return n.Result, fmt.Errorf("follow %v: %w", plan.Args, err)
	}
	var end [4]byte
	if _, err := h.conn.Read(end[:]); err != nil {
		return n.Result, err
	}
	n.Status = syscall.WaitStatus(byteOrder.Uint32(end[:]))
	return n.Result, nil
}

// listener takes the descriptor that notifications come by.
func (h *Host) listener() (int, error) {
	text, oob := make([]byte, 1024), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := h.conn.ReadMsgUnix(text, oob)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) == 0 {
		return -1, fmt.Errorf("start a program: %s %w", text[:n], err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}
