package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Namespaces are the flags of clone(2) and unshare(2) that make one.
const Namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME

// never are the calls that a program of ours that starts nothing has no use for and
// an intruder in it has. It is no list of what such a program calls: Go's runtime
// and library take other calls from release to release and on rare paths, and one
// that is missing there would end a service, or a log-in, for nothing.
var never = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// Into other processes. A kernel's descriptors are taken by pidfd_getfd.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PROCESS_MADVISE,
	unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES,
	// Another view of files, and ways around this one.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_MKNODAT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
	unix.SYS_FANOTIFY_INIT,
	// The kernel, and its big and young interfaces.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_IO_SETUP, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_LOOKUP_DCOOKIE,
	// The host as a whole.
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_SYSLOG, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL,
	// Somebody else. On files alone another user's rights are taken, by a thread.
	unix.SYS_SETUID, unix.SYS_SETREUID, unix.SYS_SETRESUID, unix.SYS_SETGID, unix.SYS_SETREGID, unix.SYS_SETRESGID,
	unix.SYS_CAPSET, unix.SYS_PERSONALITY,
}

// noChecks: threads and no processes, no namespaces, sockets of these families.
func noChecks(families ...uint32) []Check {
	return []Check{
		{Call: unix.SYS_CLONE, Arg: 0, With: unix.CLONE_THREAD, Without: Namespaces &^ unix.CLONE_NEWTIME}, // that bit is a signal's there
		// Its flags lie in memory, which a filter does not see.
		{Call: unix.SYS_CLONE3, Errno: unix.ENOSYS},
		{Call: unix.SYS_UNSHARE, Arg: 0, Without: Namespaces},
		{Call: unix.SYS_SOCKET, Arg: 0, OneOf: families},
	}
}

// NoExec denies this process, all its threads and whatever they start, for good: to
// execute another program, to start a process, and much else that a program which
// does not need that has no use for. Rights are gained by nothing any more
// (no_new_privs). What is denied fails with EPERM. Besides UNIX sockets only those of
// the families (AF_*) can be made.
func NoExec(families ...uint32) error {
	return Install(Deny(append(never, older...), noChecks(append(families, unix.AF_UNIX)...), unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)))
}

// Install puts a filter on all threads of the process, with no_new_privs.
//
// SPEC_ALLOW: hosts before 5.16 would else slow down whoever has a filter, as if
// it ran code that it does not trust beside its own secrets.
func Install(code []unix.SockFilter) error {
	runtime.LockOSThread() // no_new_privs is a thread's until the filter brings it to all
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fmt.Errorf("install the seccomp filter: %w", e)
	}
	if thread != 0 {
		return errors.New("install the seccomp filter: a thread has another one")
	}
	return nil
}
