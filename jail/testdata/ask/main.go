// Command ask makes the system calls that a guest kernel has no use for, and says
// what each gave. It is run in a jail, with a process id, a TCP port and the name
// of an abstract socket, all of the outside.
package main

import (
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	pid, _ := strconv.Atoi(os.Args[1])
	port, _ := strconv.Atoi(os.Args[2])
	name := "@" + os.Args[3]
	zero := make([]byte, 256)
	at := uintptr(unsafe.Pointer(&zero[0]))
	raw := func(call, a, b, c uintptr) func() error {
		return func() error {
			_, _, e := unix.Syscall6(call, a, b, c, 0, 0, 0)
			if e != 0 {
				return e
			}
			return nil
		}
	}
	for _, q := range []struct {
		name string
		ask  func() error
	}{
		{"io_uring_setup", raw(unix.SYS_IO_URING_SETUP, 1, at, 0)},
		{"perf_event_open", raw(unix.SYS_PERF_EVENT_OPEN, at, 0, 0)},
		{"userfaultfd", raw(unix.SYS_USERFAULTFD, 1, 0, 0)}, // UFFD_USER_MODE_ONLY: for everybody
		{"bpf", raw(unix.SYS_BPF, 0, at, 8)},
		{"keyctl", raw(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 1)},
		{"add_key", raw(unix.SYS_ADD_KEY, at, at, 0)},
		{"unshare", raw(unix.SYS_UNSHARE, 0, 0, 0)},
		{"mount", raw(unix.SYS_MOUNT, at, at, at)},
		{"process_vm_readv", raw(unix.SYS_PROCESS_VM_READV, uintptr(pid), at, 1)},
		{"chmod", func() error { return unix.Chmod("/tmp", 0o700) }},
		{"TIOCSTI", func() error { return unix.IoctlSetPointerInt(0, unix.TIOCSTI, 'x') }},
		{"TUNSETOWNER", func() error { return unix.IoctlSetInt(0, unix.TUNSETOWNER, 0) }},
		{"clone a namespace", raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_SIGHAND, 0, 0)},
		{"clone3", raw(unix.SYS_CLONE3, at, 0, 0)},
		{"kill outside", func() error { return unix.Kill(pid, 0) }},
		{"ptrace outside", func() error { return unix.PtraceAttach(pid) }},
		{"abstract socket", func() error { return connect(unix.AF_UNIX, &unix.SockaddrUnix{Name: name}) }},
		{"TCP connect", func() error {
			return connect(unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		}},
		{"TCP bind", bind},
		{"execute in /tmp", func() error {
			if err := os.WriteFile("/tmp/x", []byte("#!/ask\n"), 0o700); err != nil {
				return err
			}
			return unix.Exec("/tmp/x", []string{"x"}, nil)
		}},
		{"make a link in /tmp", func() error { return unix.Symlink("/", "/tmp/l") }},
	} {
		fmt.Printf("%s: %v\n", q.name, unix.ErrnoName(errno(q.ask())))
	}
}

func errno(err error) unix.Errno {
	if err == nil {
		return 0
	}
	e, ok := err.(unix.Errno)
	if !ok {
		fmt.Println(err)
	}
	return e
}

func connect(family int, to unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, to)
}

func bind() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}
