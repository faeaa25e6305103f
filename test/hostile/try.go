package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An attempt is something that must be refused in the jail: its error says how it
// was. Where it succeeds all the same, known says why: it does no harm, or what
// of it is not held.
type attempt struct {
	name  string
	do    func() error
	known string
}

func attempts() (all []attempt) {
	for _, group := range [][]attempt{ways, mounts, processes, privileges, files, networks, kernels, limits, last} {
		all = append(all, group...)
	}
	return all
}

// target is what the test has put outside for the attempts: same=PID of the same
// account, other=PID of root's, lock=PATH, tap=NAME of another guest, own=NAME,
// abstract=NAME of a socket of the host's, tcp=ADDRESS:PORT of the host's. only=
// is a list of attempts, the others are left out; self= this program's file.
var target = map[string]string{"self": "/hostile"}

// try makes each attempt in a process of its own, since one may be killed for it,
// and prints a line for each. How it was refused goes to standard error: that
// depends on the host.
func try(args []string) error {
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		target[key] = value
	}
	if n := target["number"]; n != "" {
		return one(n)
	}
	signal.Ignore(ending)
	for n, a := range attempts() {
		if only := target["only"]; only == "" || slices.Contains(strings.Split(only, ","), a.name) {
			fmt.Printf("%-55s %s\n", a.name, a.outcome(n, args))
		}
	}
	return nil
}

const (
	refusedCode   = 7
	succeededCode = 8
)

func one(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	a := attempts()[n]
	if err := a.do(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", a.name, err)
		os.Exit(refusedCode)
	}
	os.Exit(succeededCode)
	return nil
}

func (a attempt) outcome(n int, args []string) string {
	status, err := start(target["self"], append([]string{"hostile", "try", "number=" + strconv.Itoa(n)}, args...))
	switch {
	case err != nil:
		return "cannot be tried: " + err.Error()
	case status.ExitStatus() == succeededCode && a.known != "":
		return a.known
	case status.ExitStatus() == succeededCode:
		return "NOT REFUSED"
	case status.ExitStatus() == refusedCode:
		return "refused"
	case status.Signal() == unix.SIGSYS:
		return "refused" // by a filter that kills
	}
	return fmt.Sprintf("cannot be tried: status %#x", int(status))
}

// start runs a program that has what this one inherited, and waits for it with
// the call that kernels use: that of package os is not in the filter's list.
func start(name string, args []string) (status unix.WaitStatus, err error) {
	pid, err := syscall.ForkExec(name, args, &syscall.ProcAttr{Files: descriptors(), Env: []string{}})
	if err != nil {
		return 0, err
	}
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

// closed is the place of a descriptor that is not handed on.
const closed = ^uintptr(0)

func descriptors() (all []uintptr) {
	for fd := range 64 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && !ours(fd) {
			all = append(all, uintptr(fd))
		} else {
			all = append(all, closed)
		}
	}
	return all
}

// number is a target's process id.
func number(key string) int {
	n, err := strconv.Atoi(target[key])
	if err != nil || n == 0 {
		panic("no " + key)
	}
	return n
}

var errGot = errors.New("nothing of the host is there")

// call is a system call by number; each of its errors is a refusal.
func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
		return e
	}
	return nil
}

// calls makes an attempt of one.
func calls(nr uintptr, args ...uintptr) func() error {
	return func() error { return call(nr, args...) }
}
