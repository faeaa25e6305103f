package main

import (
	"fmt"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernels are attempts on the host's kernel: the parts of it that a guest kernel
// does not need, and where its faults have been.
var kernels = []attempt{
	{name: "perf", do: func() error {
		_, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Config: unix.PERF_COUNT_SW_CPU_CLOCK, Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}, 0, -1, -1, 0)
		return err
	}},
	{name: "bpf, a map", do: func() error {
		attr := [16]uint32{2, 4, 4, 1} // BPF_MAP_TYPE_ARRAY
		return call(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	}},
	{name: "bpf, a socket filter", do: func() error {
		code := [2]uint64{0x00000000_000000b7, 0x95} // r0 = 0; exit
		license := [4]byte{'G', 'P', 'L'}
		attr := [8]uint64{1 | 2<<32, uint64(uintptr(unsafe.Pointer(&code))), uint64(uintptr(unsafe.Pointer(&license)))}
		return call(unix.SYS_BPF, 5, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	}},
	{name: "userfaultfd", do: calls(unix.SYS_USERFAULTFD, unix.O_CLOEXEC)},
	{name: "userfaultfd, of the user's own faults", do: calls(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|1)},
	{name: "io_uring", do: func() error { return call(unix.SYS_IO_URING_SETUP, 1, zerosAt(new([120]byte))) }},
	{name: "user namespace, by clone", do: userNamespace},
	{name: "mount namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWNS)},
	{name: "network namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWNET)},
	{name: "process namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWPID)},
	{name: "ipc namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWIPC)},
	{name: "uts namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWUTS)},
	{name: "cgroup namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)},
	{name: "time namespace", do: calls(unix.SYS_UNSHARE, unix.CLONE_NEWTIME)},
	{name: "kexec", do: calls(unix.SYS_KEXEC_LOAD)},
	{name: "kexec by descriptor", do: calls(unix.SYS_KEXEC_FILE_LOAD)},
	{name: "load a module", do: func() error { return call(unix.SYS_INIT_MODULE, zeros(16), 16, text("")) }},
	{name: "load a module by descriptor", do: func() error { return call(unix.SYS_FINIT_MODULE, 0, text(""), 0) }},
	{name: "remove a module", do: func() error { return call(unix.SYS_DELETE_MODULE, text("none"), unix.O_NONBLOCK) }},
	{name: "reboot", do: calls(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF)},
	{name: "set the host's name", do: func() error { return unix.Sethostname([]byte("hostile")) }},
	{name: "set the clock", do: func() error { return unix.ClockSettime(unix.CLOCK_REALTIME, &unix.Timespec{Sec: 1}) }},
	{name: "adjust the clock", do: func() error { _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_STATUS}); return err }},
	{name: "read the kernel's log", do: func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 64)); return err }},
	{name: "size of the kernel's log", do: func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil); return err }},
	{name: "ports of the processor", do: calls(unix.SYS_IOPL, 3)},
	{name: "accounting", do: func() error { return unix.Acct("/ubd0") }},
	{name: "quotas", do: func() error { return call(unix.SYS_QUOTACTL, 0x80000100, 0, 0, 0) }},
	{name: "hang the terminal up", do: calls(unix.SYS_VHANGUP)},
	{name: "system call of i386", do: func() error { return int80Error(i386KeyCtl, unix.KEYCTL_GET_KEYRING_ID, uint32(0xfffffffc), 1) }},
	{name: "system call of x32", do: calls(0x40000000 + unix.SYS_GETPID)},
}

const i386KeyCtl = 288

// int80 makes a system call as a 32-bit program does; it has other numbers, which
// a filter may have forgotten.
func int80(nr, a, b, c uint32) uint32

func int80Error(nr, a, b, c uint32) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the host has none: %v", fault)
		}
	}()
	if r := int32(int80(nr, a, b, c)); r < 0 {
		return unix.Errno(-r)
	}
	return nil
}

func zerosAt(b *[120]byte) uintptr { return uintptr(unsafe.Pointer(b)) }

func userNamespace() error {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD|unix.CLONE_NEWUSER), 0, 0, 0, 0, 0)
	if e != 0 {
		return e
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}
