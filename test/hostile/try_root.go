package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ways are those out of the room.
var ways = []attempt{
	{name: "go up from the root", do: func() error { return hostsFile("/../../../etc/passwd") }},
	{name: "chroot below and go up", do: chrootAndUp},
	{name: "chroot to a descriptor's directory", do: func() error { return eachDescriptor(intoDirectory) }},
	{name: "open a host's file from a descriptor", do: func() error { return eachDescriptor(fromDescriptor) }},
	{name: "open a file by its handle", do: byHandle},
	{name: "the host's root by /proc/1/root", do: func() error { return hostsFile("/proc/1/root/etc/passwd") }},
	{name: "the host's root by a process of the same account", do: func() error { return hostsFile("/proc/" + target["same"] + "/root/etc/passwd") }},
	{name: "mount /proc", do: func() error { return unix.Mount("proc", "/tmp", "proc", 0, "") }},
	{name: "the hall that the room is in", do: hall},
}

func hostsFile(name string) error {
	f, err := os.Open(name)
	if err == nil {
		f.Close()
	}
	return err
}

func chrootAndUp() error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	os.Mkdir("/tmp/below", 0o700)
	if err := unix.Chroot("/tmp/below"); err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	for range 64 {
		unix.Chdir("..")
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return hostsFile("/etc/passwd")
}

// eachDescriptor is refused when none will do.
func eachDescriptor(do func(fd int) error) error {
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && do(fd) == nil {
			return nil
		}
	}
	return errGot
}

func intoDirectory(fd int) error {
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	return hostsFile("../../../../../../etc/passwd")
}

func fromDescriptor(fd int) error {
	got, err := unix.Openat(fd, "../../../../../../etc/passwd", unix.O_RDONLY, 0)
	if err == nil {
		unix.Close(got)
	}
	return err
}

// byHandle is the way out of an early Docker: the root of a filesystem has a
// handle that can be guessed.
func byHandle() error {
	handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
	return eachDescriptor(func(fd int) error {
		_, err := unix.OpenByHandleAt(fd, handle, unix.O_RDONLY)
		return err
	})
}

func hall() error {
	var root, above unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return err
	}
	if err := unix.Stat("/..", &above); err != nil {
		return err
	}
	if root.Ino == above.Ino && root.Dev == above.Dev {
		return errGot
	}
	return nil
}

var mounts = []attempt{
	{name: "mount a tmpfs", do: func() error { return unix.Mount("x", "/tmp", "tmpfs", 0, "") }},
	{name: "mount a file on another", do: func() error { return unix.Mount("/ubd0", "/hostile", "", unix.MS_BIND, "") }},
	{name: "make the root writable", do: func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
	{name: "take a mount off", do: func() error { return unix.Unmount("/uml", unix.MNT_DETACH) }},
	{name: "pivot_root", do: func() error { return unix.PivotRoot("/tmp", "/tmp") }},
	{name: "fsopen", do: func() error { _, err := unix.Fsopen("tmpfs", 0); return err }},
	{name: "fspick", do: func() error { _, err := unix.Fspick(unix.AT_FDCWD, "/", 0); return err }},
	{name: "open_tree a copy", do: func() error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err }},
	{name: "move_mount", do: func() error { return unix.MoveMount(unix.AT_FDCWD, "/uml", unix.AT_FDCWD, "/tmp", 0) }},
	{name: "mount_setattr", do: func() error {
		return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
	}},
	{name: "swap on a file", do: func() error { return call(unix.SYS_SWAPON, text("/ubd0"), 0) }},
}

// files of the room that are not his to change, and of the host.
var files = []attempt{
	{name: "make a device of a disc", do: func() error { return unix.Mknod("/uml/sda", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) }},
	{name: "make a device of memory", do: func() error { return unix.Mknod("/tmp/mem", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))) }},
	{name: "open the host's memory", do: func() error { return hostsFile("/dev/mem") }},
	{name: "open the lock", do: func() error { return hostsFile(target["lock"]) }},
	{name: "write the lock by its descriptor", do: lock(func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err })},
	{name: "let everybody open the lock", do: lock(func(fd int) error { return unix.Fchmod(fd, 0o666) })},
	{name: "make the lock longer", do: lock(func(fd int) error { return unix.Ftruncate(fd, 1<<20) })},
	{name: "let go of the lock", known: "contained: a start finds the account's processes", do: lock(unix.Close)},
	{name: "write the kernel image", do: func() error { _, err := os.OpenFile("/linux", os.O_WRONLY, 0); return err }},
	{name: "write the running program", do: func() error { _, err := os.OpenFile("/hostile", os.O_WRONLY, 0); return err }},
	{name: "make a file in the root", do: func() error { return os.WriteFile("/new", nil, 0o600) }},
	{name: "make a file in /dev", do: func() error { return os.WriteFile("/dev/new", nil, 0o600) }},
	{name: "run a program from uml/", do: func() error { return run("/uml/program") }},
	{name: "run a program from /tmp", do: func() error { return run("/tmp/program") }},
	{name: "fanotify", do: func() error { _, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT, 0); return err }},
}

// lock does something with the descriptor of the lock, an empty regular file.
func lock(do func(fd int) error) func() error {
	return func() error {
		var st unix.Stat_t
		for fd := 3; fd < 1024; fd++ {
			if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == 0 && st.Size == 0 {
				return do(fd)
			}
		}
		return errGot
	}
}

func run(name string) error {
	self, err := os.ReadFile(target["self"])
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, self, 0o700); err != nil {
		return err
	}
	defer os.Remove(name)
	_, err = start(name, []string{"hostile"})
	return err
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// kept is memory that a system call is given by its address.
var kept [][]byte

func zeros(n int) uintptr { return text(fmt.Sprintf("%*s", n, "")) }
