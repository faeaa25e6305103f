package seccomp

import "golang.org/x/sys/unix"

// Arch is this architecture's (linux/audit.h).
const Arch = unix.AUDIT_ARCH_AARCH64

var older []uint32
