package jail

import (
	"golang.org/x/sys/unix"

	"uml/seccomp"
)

// What a guest kernel asks of the host. Each line was seen under a real kernel:
// Debian's 6.1, 6.12 and 7.2, with both network drivers, discs and COW discs,
// swap, trim, all of mconsole, terminals, halt, reboot, panic; or is what older
// kernels and libraries call in its place; or stands with its reason. What a
// guest's own processes call is not among it: the kernel takes that before the
// filter sees it (PTRACE_SYSEMU).
//
// Not here, among much else: io_uring, bpf, perf, userfaultfd, keys, namespaces,
// mounts, modules, other processes' memory, set-uid, chmod, links, mknod.
var allowed = []uint32{
	// A guest's processes: children that the kernel traces, and that map its RAM.
	unix.SYS_PTRACE, unix.SYS_WAIT4, unix.SYS_KILL, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT,
	unix.SYS_MODIFY_LDT, unix.SYS_ARCH_PRCTL, unix.SYS_SIGALTSTACK, unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_MEMFD_CREATE, unix.SYS_EXECVEAT, unix.SYS_CLOSE_RANGE, // from 6.12 on a program of their own

	// Interrupts and time are signals.
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGSUSPEND, unix.SYS_PAUSE,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_GETTIME, unix.SYS_TIMER_DELETE,
	unix.SYS_SETITIMER, unix.SYS_GETITIMER, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_TIME, // in the vdso, where there is one

	// Devices: discs, terminals, the TAP.
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_LSEEK,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FALLOCATE, unix.SYS_FTRUNCATE, unix.SYS_FCHMOD,
	unix.SYS_OPEN, unix.SYS_OPENAT, unix.SYS_CLOSE, unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_DUP2, unix.SYS_DUP3,
	unix.SYS_PIPE, unix.SYS_PIPE2, unix.SYS_POLL, unix.SYS_PPOLL, unix.SYS_SIGNALFD4,
	unix.SYS_EPOLL_CREATE, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_PWAIT,

	// mconsole; what kind of sockets, see checks.
	unix.SYS_SOCKETPAIR, unix.SYS_BIND, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT,

	// The umid directory, guest RAM, and looking for files. Which, Landlock says.
	unix.SYS_ACCESS, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_READLINK, unix.SYS_READLINKAT,
	unix.SYS_STAT, unix.SYS_FSTAT, unix.SYS_LSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_STATFS, unix.SYS_FSTATFS,
	unix.SYS_GETDENTS, unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_CHDIR, // a COW file's backing file by a relative name
	unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_UNLINK, unix.SYS_UNLINKAT,

	// Memory that is taken out, or in kernels before 4.12 mapped anew.
	unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_BRK,

	// A reboot, and the start itself.
	unix.SYS_EXECVE, unix.SYS_SETSID, unix.SYS_GETPPID, unix.SYS_UNAME, unix.SYS_UMASK,

	// What a C library does before and between; and Go, which is there again to
	// say why if the exec fails.
	unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_GETRLIMIT, unix.SYS_SETRLIMIT,
	unix.SYS_GETRANDOM, unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SYSINFO,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_RESTART_SYSCALL, unix.SYS_EVENTFD2,

	// Questions that a command asks in uml-jail: they change nothing.
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETGROUPS, unix.SYS_GETRESUID, unix.SYS_GETRESGID,
	unix.SYS_GETPGRP, unix.SYS_GETPGID, unix.SYS_GETSID, unix.SYS_GETRUSAGE, unix.SYS_TIMES, unix.SYS_SELECT, unix.SYS_PSELECT6,
	unix.SYS_SETPGID, unix.SYS_SENDFILE,
}

const askPersonality = 0xffffffff // to tell, not to set

var checks = []seccomp.Check{
	{Call: unix.SYS_CLONE, Arg: 0, Without: seccomp.Namespaces},
	// Its flags lie in memory, which a filter does not see. Libraries that hear
	// that there is no such call take clone.
	{Call: unix.SYS_CLONE3, Errno: unix.ENOSYS},
	// Its own limits. The account's other processes outside of the jail keep theirs.
	{Call: unix.SYS_PRLIMIT64, Arg: 0, OneOf: []uint32{0}},
	// mconsole, and pairs of sockets. The TAP needs none.
	{Call: unix.SYS_SOCKET, Arg: 0, OneOf: []uint32{unix.AF_UNIX}},
	{Call: unix.SYS_PERSONALITY, Arg: 0, OneOf: []uint32{askPersonality, addrNoRandomize}},
	// The last is Go's and the C library's, who name their mappings.
	{Call: unix.SYS_PRCTL, Arg: 0, OneOf: []uint32{unix.PR_SET_PDEATHSIG, unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_NO_NEW_PRIVS, unix.PR_SET_VMA}},
	{Call: unix.SYS_IOCTL, Arg: 1, OneOf: []uint32{
		// Terminals; above all no TIOCSTI, nor TIOCLINUX.
		unix.TCGETS, unix.TCSETS, unix.TCSETSW, unix.TCSETSF, unix.TCGETS2, unix.TCSETS2, unix.TCSETSW2, unix.TCSETSF2,
		unix.TIOCGWINSZ, unix.TIOCSWINSZ, unix.TIOCGPTN, unix.TIOCSPTLCK, unix.TIOCGPTPEER, unix.TIOCSCTTY,
		unix.TIOCGPGRP, unix.TIOCSPGRP, unix.TIOCINQ,
		// The TAP: to be attached to it, but not its owner, its hardware address,
		// nor that it stays.
		unix.TUNSETIFF, unix.TUNGETIFF, unix.TUNGETFEATURES, unix.TUNSETOFFLOAD, unix.TUNSETVNETHDRSZ, unix.TUNGETVNETHDRSZ, unix.TUNSETSNDBUF,
	}},
}

// underSeccomp is what a kernel needs besides, whose guest runs under seccomp in
// place of ptrace: it puts a filter of its own on the guest's processes.
var underSeccomp = []uint32{unix.SYS_SECCOMP}
