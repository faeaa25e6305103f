package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limits are attempts to take more than the machine's share. One that meets its
// limit was refused.
var limits = []attempt{
	{name: "more open files", do: raise(unix.RLIMIT_NOFILE)},
	{name: "more processes", do: raise(unix.RLIMIT_NPROC)},
	{name: "a core", do: raise(unix.RLIMIT_CORE)},
	{name: "more priority", do: func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }},
	{name: "real-time scheduling", do: func() error {
		priority := int32(1)
		return call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&priority))) // SCHED_FIFO
	}},
	{name: "deadline scheduling", do: func() error {
		return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: 6, Runtime: 1e6, Deadline: 1e7, Period: 1e7}, 0)
	}},
	{name: "real-time disc access", do: calls(unix.SYS_IOPRIO_SET, 1, 0, 1<<13)},
	{name: "a fork bomb", do: forks},
	{name: "all descriptors", do: func() error {
		return fill(1<<16, func(int) error { _, err := unix.Dup(0); return err })
	}},
	{name: "all terminals", do: func() error {
		return fill(1024, func(int) error { _, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0); return err })
	}},
	{name: "all of /tmp's room", do: fillTmp},
	{name: "all of /tmp's names", do: fillNames},
	{name: "disc space below uml/", do: func() error {
		defer os.Remove("/uml/big")
		return os.WriteFile("/uml/big", make([]byte, 1<<20), 0o600)
	}, known: "contained: the account's own directory, as the jail is (a quota)"},
	{name: "memory", do: memory(unix.MAP_PRIVATE | unix.MAP_ANONYMOUS), known: memoryOpen},
	{name: "shared memory", do: memory(unix.MAP_SHARED | unix.MAP_ANONYMOUS), known: memoryOpen},
	{name: "shared memory of a name", do: func() error { return call(unix.SYS_SHMGET, 0, beyond, 0o1600) }},
	{name: "a file in memory", do: func() error {
		fd, err := unix.MemfdCreate("x", 0)
		if err != nil {
			return err
		}
		return unix.Fallocate(fd, 0, 0, beyond)
	}, known: memoryOpen},
	{name: "a secret file in memory", do: calls(unix.SYS_MEMFD_SECRET, 0)},
	{name: "memory that is locked", do: func() error {
		m, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		return unix.Mlock(m)
	}},
	{name: "message queues", do: func() error { return call(unix.SYS_MSGGET, 0, 0o1600) }},
	{name: "semaphores", do: func() error { return call(unix.SYS_SEMGET, 0, 1, 0o1600) }},
	{name: "POSIX message queues", do: func() error {
		return call(unix.SYS_MQ_OPEN, text("hostile"), unix.O_CREAT|unix.O_RDWR, 0o600, 0)
	}},
}

// A limit of a process is none: an account has thousands, shared memory has no
// limit, and kernels from 6.12 on need a memfd.
const memoryOpen = "not held: no limit but a control group's"

// beyond is more memory than a machine of the test's has.
const beyond = 1 << 30

func raise(which int) func() error {
	return func() error {
		var now unix.Rlimit
		if err := unix.Prlimit(0, which, nil, &now); err != nil {
			return err
		}
		now.Max++
		return unix.Prlimit(0, which, &now, nil)
	}
}

// fill does something again and again; n times are too many.
func fill(n int, do func(i int) error) error {
	for i := range n {
		if err := do(i); err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
	}
	return nil
}

// forks ends its children before it says anything: the Go runtime may want a
// thread for that, and there is none to be had.
func forks() error {
	var children []uintptr
	err := fill(5000, func(int) error {
		pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			return e
		}
		for pid == 0 {
			unix.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
		}
		children = append(children, pid)
		return nil
	})
	for _, pid := range children {
		unix.RawSyscall(unix.SYS_KILL, pid, uintptr(unix.SIGKILL), 0)
		unix.RawSyscall6(unix.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
	}
	return err
}

func fillTmp() error {
	fd, err := unix.Open("/tmp/big", unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove("/tmp/big")
	return unix.Fallocate(fd, 0, 0, beyond)
}

func fillNames() error {
	name := func(i int) string { return fmt.Sprintf("/tmp/name%d", i) }
	err := fill(4096, func(i int) error {
		fd, err := unix.Open(name(i), unix.O_CREAT|unix.O_WRONLY, 0o600)
		unix.Close(fd)
		return err
	})
	for i := range 4096 {
		os.Remove(name(i))
	}
	return err
}

func memory(flags int) func() error {
	return func() error {
		_, err := unix.Mmap(-1, 0, beyond, unix.PROT_READ|unix.PROT_WRITE, flags)
		if errors.Is(err, unix.ENOMEM) {
			return fmt.Errorf("%d bytes: %w", beyond, err)
		}
		return err
	}
}
