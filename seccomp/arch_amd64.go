package seccomp

import "golang.org/x/sys/unix"

// Arch is this architecture's (linux/audit.h).
const Arch = unix.AUDIT_ARCH_X86_64

// older calls that other architectures never had.
var older = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_MKNOD, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB,
	unix.SYS_USTAT, unix.SYS_SYSFS, unix.SYS__SYSCTL, unix.SYS_CREATE_MODULE, unix.SYS_EPOLL_CTL_OLD, unix.SYS_KEXEC_FILE_LOAD,
}
