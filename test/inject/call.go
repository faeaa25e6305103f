package inject

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// what a call's arguments are about.
type what int

const (
	nothing what = iota
	path0        // a path is the first argument
	path1        // a path is the second, below the descriptor that is the first
	file         // a descriptor is the first
	request      // a descriptor, and a number that says what is wanted of it
	number       // a number is the first
)

// A call is one of the system calls that a start makes.
type call struct {
	name   string
	about  what
	errnos []unix.Errno // that it can give where all is well with the arguments
}

var (
	noFile  = []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM}
	failed  = []unix.Errno{unix.EIO}
	noRoom  = []unix.Errno{unix.ENOSPC, unix.EIO}
	opening = []unix.Errno{unix.EMFILE, unix.ENFILE, unix.EIO, unix.ENOMEM}
	memory  = []unix.Errno{unix.ENOMEM}
	network = []unix.Errno{unix.ENOBUFS, unix.ENOMEM}
	again   = []unix.Errno{unix.EAGAIN}
	denied  = []unix.Errno{unix.EPERM}
)

// A close is only killed at: whatever it says, the kernel has closed the descriptor.
var calls = map[uint64]call{
	unix.SYS_READ: {"read", file, failed}, unix.SYS_PREAD64: {"pread", file, failed},
	unix.SYS_WRITE: {"write", file, noRoom}, unix.SYS_PWRITE64: {"pwrite", file, noRoom},
	unix.SYS_OPENAT: {"openat", path1, opening}, unix.SYS_OPENAT2: {"openat2", path1, opening},
	unix.SYS_CLOSE: {"close", file, nil}, unix.SYS_CLOSE_RANGE: {"close_range", nothing, memory},
	unix.SYS_FSTAT: {"fstat", file, failed}, unix.SYS_NEWFSTATAT: {"fstatat", path1, []unix.Errno{unix.EIO, unix.ENOMEM}},
	unix.SYS_STATFS: {"statfs", path0, failed}, unix.SYS_FSTATFS: {"fstatfs", file, failed},
	unix.SYS_FACCESSAT: {"faccessat", path1, failed}, unix.SYS_FACCESSAT2: {"faccessat2", path1, []unix.Errno{unix.EIO, unix.ENOMEM}},
	unix.SYS_READLINKAT: {"readlinkat", path1, failed}, unix.SYS_GETDENTS64: {"getdents", file, failed},
	unix.SYS_UTIMENSAT: {"utimensat", path1, failed}, unix.SYS_FTRUNCATE: {"ftruncate", file, noRoom}, unix.SYS_FSYNC: {"fsync", file, noRoom},
	unix.SYS_FCHOWNAT: {"fchownat", path1, []unix.Errno{unix.EDQUOT, unix.EIO}}, unix.SYS_FCHMOD: {"fchmod", file, failed},
	unix.SYS_MKDIRAT: {"mkdirat", path1, noRoom}, unix.SYS_MKNODAT: {"mknodat", path1, noRoom},
	unix.SYS_UNLINKAT: {"unlinkat", path1, failed}, unix.SYS_RENAMEAT: {"renameat", path1, noRoom},
	unix.SYS_LINKAT: {"linkat", path1, noRoom}, unix.SYS_RMDIR: {"rmdir", path0, failed},
	unix.SYS_GETCWD: {"getcwd", nothing, memory}, unix.SYS_LSEEK: {"lseek", file, failed},
	unix.SYS_IOCTL: {"ioctl", request, []unix.Errno{unix.EIO, unix.ENOMEM}}, unix.SYS_FCNTL: {"fcntl", request, []unix.Errno{unix.ENOLCK}},
	unix.SYS_FLOCK: {"flock", file, []unix.Errno{unix.ENOLCK}},

	unix.SYS_SOCKET: {"socket", number, noFile}, unix.SYS_BIND: {"bind", file, memory},
	unix.SYS_GETSOCKNAME: {"getsockname", file, network}, unix.SYS_SETSOCKOPT: {"setsockopt", request, network},
	unix.SYS_GETSOCKOPT: {"getsockopt", request, network}, unix.SYS_CONNECT: {"connect", file, network},
	unix.SYS_SENDTO: {"sendto", file, network}, unix.SYS_RECVFROM: {"recvfrom", file, network},
	unix.SYS_SENDMSG: {"sendmsg", file, network}, unix.SYS_RECVMSG: {"recvmsg", file, network},
	unix.SYS_SENDMMSG: {"sendmmsg", file, network}, unix.SYS_RECVMMSG: {"recvmmsg", file, network},
	unix.SYS_POLL: {"poll", nothing, memory}, unix.SYS_PPOLL: {"ppoll", nothing, memory},
	unix.SYS_EVENTFD2: {"eventfd", nothing, noFile}, unix.SYS_PIPE2: {"pipe", nothing, noFile},

	unix.SYS_OPEN_TREE: {"open_tree", path1, noFile}, unix.SYS_MOVE_MOUNT: {"move_mount", nothing, memory},
	unix.SYS_MOUNT_SETATTR: {"mount_setattr", file, memory}, unix.SYS_FSOPEN: {"fsopen", path0, noFile},
	unix.SYS_FSCONFIG: {"fsconfig", nothing, memory}, unix.SYS_FSMOUNT: {"fsmount", nothing, noFile},
	unix.SYS_MOUNT: {"mount", path1, memory}, unix.SYS_UMOUNT2: {"umount", path0, memory},
	unix.SYS_PIVOT_ROOT: {"pivot_root", path0, memory}, unix.SYS_CHROOT: {"chroot", path0, memory},
	unix.SYS_CHDIR: {"chdir", path0, failed}, unix.SYS_FCHDIR: {"fchdir", file, failed},
	unix.SYS_UNSHARE: {"unshare", number, []unix.Errno{unix.ENOMEM, unix.ENOSPC}},

	unix.SYS_PRLIMIT64: {"prlimit", number, denied}, unix.SYS_SETRLIMIT: {"setrlimit", number, denied},
	unix.SYS_SETPRIORITY: {"setpriority", nothing, denied}, unix.SYS_GETPRIORITY: {"getpriority", nothing, denied},
	unix.SYS_KEYCTL: {"keyctl", number, []unix.Errno{unix.EDQUOT, unix.ENOMEM}}, unix.SYS_PRCTL: {"prctl", number, denied},
	unix.SYS_PERSONALITY: {"personality", number, denied},
	unix.SYS_CAPSET:      {"capset", nothing, denied}, unix.SYS_CAPGET: {"capget", nothing, denied},
	unix.SYS_GETGROUPS: {"getgroups", nothing, denied}, unix.SYS_SETGROUPS: {"setgroups", nothing, []unix.Errno{unix.ENOMEM, unix.EPERM}},
	unix.SYS_SETRESGID: {"setresgid", nothing, denied}, unix.SYS_SETRESUID: {"setresuid", nothing, again},
	unix.SYS_SETUID: {"setuid", number, again},
	unix.SYS_EXECVE: {"execve", path0, []unix.Errno{unix.ENOMEM, unix.EAGAIN, unix.EIO}},
	unix.SYS_WAIT4:  {"wait4", nothing, []unix.Errno{unix.ECHILD}}, unix.SYS_WAITID: {"waitid", nothing, []unix.Errno{unix.ECHILD}},
	unix.SYS_PTRACE: {"ptrace", number, []unix.Errno{unix.ESRCH}}, unix.SYS_KILL: {"kill", nothing, denied},
	unix.SYS_PIDFD_OPEN: {"pidfd_open", nothing, noFile}, unix.SYS_PIDFD_SEND_SIGNAL: {"pidfd_send_signal", nothing, denied},
	unix.SYS_SECCOMP: {"seccomp", number, memory},
	unix.SYS_UNAME:   {"uname", nothing, failed}, unix.SYS_SYSINFO: {"sysinfo", nothing, failed},
	unix.SYS_GETRANDOM: {"getrandom", nothing, []unix.Errno{unix.EINTR}},

	unix.SYS_DUP3: {"dup3", file, []unix.Errno{unix.EBUSY}},
	// The runtime's: it ends the program if one of them fails.
	unix.SYS_MMAP: {"mmap", nothing, memory}, unix.SYS_MUNMAP: {"munmap", nothing, memory},
	unix.SYS_CLONE: {"clone", nothing, again}, unix.SYS_CLONE3: {"clone3", nothing, again},
	unix.SYS_EPOLL_CREATE1: {"epoll_create", nothing, noFile}, unix.SYS_EPOLL_CTL: {"epoll_ctl", nothing, []unix.Errno{unix.ENOMEM, unix.ENOSPC}},
}

// noise are the calls that cannot fail, and those of the runtime that come as
// its threads meet.
var noise = map[uint64]bool{
	unix.SYS_FUTEX: true, unix.SYS_NANOSLEEP: true, unix.SYS_CLOCK_NANOSLEEP: true, unix.SYS_SCHED_YIELD: true,
	unix.SYS_MADVISE: true, unix.SYS_RT_SIGACTION: true, unix.SYS_RT_SIGPROCMASK: true, unix.SYS_RT_SIGRETURN: true,
	unix.SYS_SIGALTSTACK: true, unix.SYS_RESTART_SYSCALL: true, unix.SYS_EPOLL_PWAIT: true, unix.SYS_EPOLL_WAIT: true,
	unix.SYS_GETPID: true, unix.SYS_GETPPID: true, unix.SYS_GETTID: true, unix.SYS_TGKILL: true, unix.SYS_CLOCK_GETTIME: true,
	unix.SYS_SCHED_GETAFFINITY: true, unix.SYS_ARCH_PRCTL: true, unix.SYS_EXIT: true, unix.SYS_EXIT_GROUP: true,
	unix.SYS_GETUID: true, unix.SYS_GETEUID: true, unix.SYS_GETGID: true, unix.SYS_GETEGID: true, unix.SYS_UMASK: true,
	unix.SYS_SETFSUID: true, unix.SYS_SETFSGID: true, unix.SYS_GETSID: true, unix.SYS_GETRESUID: true, unix.SYS_GETRESGID: true,
	unix.SYS_TIMER_CREATE: true, unix.SYS_TIMER_SETTIME: true, unix.SYS_TIMER_DELETE: true, unix.SYS_SETITIMER: true,
	unix.SYS_MINCORE: true, unix.SYS_MLOCK: true, unix.SYS_RSEQ: true,
}

// describe names the call, "" if it is noise.
func describe(info *notif) string {
	tid, nr := int(info.pid), uint64(info.nr)
	if noise[nr] {
		return ""
	}
	c, ok := calls[nr]
	if !ok {
		return fmt.Sprintf("call %d", nr)
	}
	switch c.about {
	case path0:
		return c.name + " " + tame(text(tid, info.args[0]))
	case path1:
		return c.name + " " + tame(text(tid, info.args[1]))
	case file:
		return c.name + " " + target(tid, info.args[0])
	case request:
		return fmt.Sprintf("%s %s %#x", c.name, target(tid, info.args[0]), uint32(info.args[1]))
	case number:
		return fmt.Sprintf("%s %#x", c.name, uint32(info.args[0]))
	}
	return c.name
}

// Errnos are what the call at a point may say; none if it can say nothing but that
// its arguments are wrong.
func Errnos(point string) []unix.Errno {
	if flagsOnly.MatchString(point) {
		return nil
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(point, childMark), " ")
	for _, c := range calls {
		if c.name == name {
			return c.errnos
		}
	}
	return failed
}

// target is the file behind a descriptor.
func target(tid int, fd uint64) string {
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(fd)))
	if err != nil {
		return "none"
	}
	return tame(to)
}

// flagsOnly are the fcntls F_GETFD, F_GETFL and F_SETFL.
var flagsOnly = regexp.MustCompile(`fcntl .* 0x[134] #`)

var varying = regexp.MustCompile(`\d{2,}`)

// tame takes numbers out that are others in each run: of processes, inodes.
func tame(s string) string { return varying.ReplaceAllString(s, "N") }

// text is a string of the program's.
func text(tid int, at uint64) string {
	if at == 0 {
		return ""
	}
	var buf [256]byte
	n, _ := unix.ProcessVMReadv(tid, []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}},
		[]unix.RemoteIovec{{Base: uintptr(at), Len: len(buf)}}, 0)
	s, _, _ := bytes.Cut(buf[:max(n, 0)], []byte{0})
	return string(s)
}
