package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alone executes a program that is killed when it starts a process; threads it may
// start (seccomp(2)). Programs of Go do both by clone; clone3, whose flags a filter
// cannot see, is said not to be there.
func alone(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	jump := func(nr uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: nr}
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(what uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
	}
	const numberAt, flagsAt = 0, 16 // of struct seccomp_data; little-endian
	filter := []unix.SockFilter{
		load(numberAt),
		jump(unix.SYS_CLONE3, 3, 0),
		jump(unix.SYS_CLONE, 0, 4),
		load(flagsAt),
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 2, Jf: 1, K: unix.CLONE_THREAD},
		ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)),
		ret(unix.SECCOMP_RET_KILL_PROCESS),
		ret(unix.SECCOMP_RET_ALLOW),
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return unix.Exec(path, argv, os.Environ())
}
