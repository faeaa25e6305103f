package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Start is what one start has cost until the kernel's exec.
type Start struct {
	Wall      time.Duration // from before the fork
	CPU       time.Duration // of the process and of all that it started
	Faults    int           // page faults, likewise
	Processes int           // started by it
	Beside    int           // still there at the exec, beside the one that becomes the kernel
}

// An After is what is left when the kernel runs.
type After struct {
	Resident int // bytes of the run program in the kernel's memory, and all of processes beside it
	Beside   int
}

// watcher is told by the kernel of the very moment in which an image is opened to
// be executed, and holds the process there until it answers (fanotify(7)).
// Nothing that comes before is slowed by it, as it would be by a tracer.
type watcher struct{ fd int }

func watch(image string) (*watcher, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	if err != nil {
		return nil, fmt.Errorf("fanotify_init: %w", err)
	}
	err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, image)
	if err != nil {
		return nil, fmt.Errorf("fanotify_mark %s: %w", image, err)
	}
	return &watcher{fd}, nil
}

// await waits until the process is about to execute the image. The event's
// descriptor is what to answer with.
func (w *watcher) await(pid int) (when time.Time, event int32, err error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return when, -1, fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(process)
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(process), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return when, -1, fmt.Errorf("poll: %w", err)
		}
		when = time.Now()
		if fds[0].Revents != 0 {
			break
		}
		if fds[1].Revents != 0 {
			return when, -1, errors.New("it ended without executing the kernel")
		}
	}
	var b [4096]byte
	n, err := unix.Read(w.fd, b[:])
	if err != nil || n < int(unsafe.Sizeof(unix.FanotifyEventMetadata{})) {
		return when, -1, fmt.Errorf("read fanotify: %d bytes: %w", n, err)
	}
	e := (*unix.FanotifyEventMetadata)(unsafe.Pointer(&b[0]))
	if int(e.Pid) != pid {
		return when, -1, fmt.Errorf("process %d executes the kernel, not %d", e.Pid, pid)
	}
	return when, e.Fd, nil
}

func (w *watcher) allow(event int32) error {
	answer := unix.FanotifyResponse{Fd: event, Response: unix.FAN_ALLOW}
	_, err := unix.Write(w.fd, unsafe.Slice((*byte)(unsafe.Pointer(&answer)), unsafe.Sizeof(answer)))
	unix.Close(int(event))
	return err
}

// inside is this program in the lab: it starts the run program once, as supervise
// would, and prints what that has cost as JSON. Nobody else may start a process in
// the lab meanwhile: they are counted by their numbers.
func inside(image, run string, after bool) error {
	w, err := watch(image)
	if err != nil {
		return err
	}
	if after {
		left, err := left(w, run)
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(left))
	}
	s, err := start(w, run)
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(s))
}

func fork(run string) (int, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return syscall.ForkExec(run, []string{run}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), null.Fd(), os.Stderr.Fd()},
	})
}

// start takes the figures while the process is held at its exec. There it is
// killed: what wait4 says then is what the process and its children have used.
func start(w *watcher, run string) (s Start, err error) {
	before := time.Now()
	pid, err := fork(run)
	if err != nil {
		return s, err
	}
	when, event, err := w.await(pid)
	if err != nil {
		return s, err
	}
	s.Wall = when.Sub(before)
	if s.Processes, err = started(pid); err != nil {
		return s, err
	}
	if s.Beside, err = beside(pid); err != nil {
		return s, err
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return s, err
	}
	var used unix.Rusage
	if _, err := unix.Wait4(pid, nil, 0, &used); err != nil {
		return s, err
	}
	unix.Close(int(event))
	s.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	s.Faults = int(used.Minflt + used.Majflt)
	return s, nil
}

// started counts the processes since pid: the last number that was given in this
// process namespace says how many processes and threads there were, and the
// threads, which Go never ends, are all there yet. Our own are counted too.
func started(pid int) (int, error) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(load))
	last, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return 0, err
	}
	n := last - pid
	for _, p := range []int{pid, os.Getpid()} {
		threads, err := numbers(fmt.Sprintf("/proc/%d/task", p))
		if err != nil {
			return 0, err
		}
		for _, t := range threads {
			if t > pid {
				n--
			}
		}
	}
	return n, nil
}

// beside counts the lab's processes but for its first, ours, pid, and those that go on
// announcing the addresses for two seconds.
func beside(pid int) (int, error) {
	all, err := others(pid)
	return len(all), err
}

func others(pid int) ([]int, error) {
	all, err := numbers("/proc")
	return slices.DeleteFunc(all, func(p int) bool {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p))
		return p == 1 || p == os.Getpid() || p == pid || string(name) == "uml-announce\n"
	}), err
}

func numbers(dir string) (all []int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	return all, err
}

// left lets the kernel boot, and looks at what there is besides.
func left(w *watcher, run string) (a After, err error) {
	pid, err := fork(run)
	if err != nil {
		return a, err
	}
	_, event, err := w.await(pid)
	if err != nil {
		return a, err
	}
	exe := fmt.Sprintf("/proc/%d/exe", pid)
	was, err := identity(exe)
	if err != nil {
		return a, err
	}
	if err := w.allow(event); err != nil {
		return a, err
	}
	kernel := was
	for kernel == was {
		time.Sleep(time.Millisecond)
		if kernel, err = identity(exe); err != nil {
			return a, err
		}
	}
	time.Sleep(300 * time.Millisecond) // it boots: its own processes are there
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return a, err
	}
	if a.Resident, err = resident(pid, func(path string) bool {
		return path == run || strings.HasSuffix(path, "/uml-run") || strings.HasSuffix(path, "/bash")
	}); err != nil {
		return a, err
	}
	all, err := others(pid)
	if err != nil {
		return a, err
	}
	for _, p := range all {
		if id, err := identity(fmt.Sprintf("/proc/%d/exe", p)); err == nil && id == kernel {
			continue
		}
		a.Beside++
		n, err := resident(p, func(string) bool { return true })
		if err != nil {
			return a, err
		}
		a.Resident += n
	}
	for _, p := range append(all, pid) {
		unix.Kill(p, unix.SIGKILL)
	}
	_, err = unix.Wait4(pid, nil, 0, nil)
	return a, err
}

func identity(path string) ([2]uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return [2]uint64{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return [2]uint64{st.Dev, st.Ino}, nil
}

// resident sums the resident bytes of the mappings of files that ours names.
func resident(pid int, ours func(path string) bool) (bytes int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return 0, err
	}
	in := false
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 5 && strings.Contains(f[0], "-"):
			path := ""
			if len(f) > 5 {
				path = filepath.Clean(f[5])
			}
			in = ours(path)
		case f[0] == "Rss:" && in:
			kilobytes, err := strconv.Atoi(f[1])
			if err != nil {
				return 0, err
			}
			bytes += kilobytes << 10
		}
	}
	return bytes, nil
}
