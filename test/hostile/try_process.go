package main

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processes are attempts on those of others, and of the same account outside.
var processes = append(onProcess("root's process", "other"), onProcess("a process of the same account", "same")...)

// last is what the others' targets might not survive.
var last = []attempt{{name: "end all processes of the account", do: func() error {
	unix.Kill(-1, ending) // its own, which ignore it, at least
	for {
		if err := unix.Kill(number("same"), 0); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}}}

// ending ends a Go program, and is ignored by this one in the jail.
const ending = unix.SIGHUP

func onProcess(whose, key string) (all []attempt) {
	for _, a := range []struct {
		name string
		do   func(pid int) error
	}{
		{"trace", func(pid int) error { return unix.PtraceSeize(pid) }},
		{"read the memory of", readMemory},
		{"signal", func(pid int) error { return unix.Kill(pid, 0) }},
		{"take a descriptor of", takeDescriptor},
		{"enter the network of", enterNetwork},
		{"give priority to", func(pid int) error { return unix.Setpriority(unix.PRIO_PROCESS, pid, 19) }},
		{"change the limits of", func(pid int) error {
			var now unix.Rlimit
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &now); err != nil {
				return err
			}
			return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &now, nil)
		}},
		{"choose the processor of", func(pid int) error {
			var set unix.CPUSet
			set.Set(0)
			return unix.SchedSetaffinity(pid, &set)
		}},
	} {
		all = append(all, attempt{name: a.name + " " + whose, do: func() error { return a.do(number(key)) }})
	}
	return all
}

func readMemory(pid int) error {
	var here [8]byte
	local := []unix.Iovec{{Base: &here[0], Len: 8}}
	// A static program lies there, and so do the kernel and its helpers; EFAULT is
	// a look at memory that is not mapped, not a refusal.
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	if errors.Is(err, unix.EFAULT) {
		return nil
	}
	return err
}

func takeDescriptor(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	_, err = unix.PidfdGetfd(fd, 0, 0)
	return err
}

func enterNetwork(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// privileges that are gone for good.
var privileges = []attempt{
	{name: "become root", do: calls(unix.SYS_SETUID, 0)},
	{name: "become root for files", do: func() error {
		unix.SetfsuidRetUid(0)
		if now, err := unix.SetfsuidRetUid(-1); err != nil || now != 0 {
			return fmt.Errorf("it is %d, %v", now, err)
		}
		return nil
	}},
	{name: "take root's group", do: calls(unix.SYS_SETGID, 0)},
	{name: "take more groups", do: func() error { return call(unix.SYS_SETGROUPS, 1, zeros(4)) }},
	{name: "take capabilities", do: func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		all := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_CHROOT, Permitted: 1 << unix.CAP_SYS_CHROOT}}
		return unix.Capset(&header, &all[0])
	}},
	{name: "raise an ambient capability", do: func() error {
		return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_CHOWN, 0, 0)
	}},
	{name: "change the securebits", do: func() error { return unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0) }},
	{name: "allow new privileges", do: func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) }},
	{name: "make a key", do: func() error {
		return call(unix.SYS_ADD_KEY, text("user"), text("x"), text("x"), 1, sessionKeyring)
	}},
	{name: "ask for a key", do: func() error { return call(unix.SYS_REQUEST_KEY, text("user"), text("x"), 0, 0) }},
	{name: "the account's keyring", do: func() error {
		return call(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, userKeyring, 1)
	}},
	{name: "a new session's keyring", do: func() error { return call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0) }},
	{name: "personality", do: calls(unix.SYS_PERSONALITY, 0x0400000)},
	{name: "dump a core", do: dumpCore},
}

const (
	sessionKeyring = ^uintptr(2) // KEY_SPEC_SESSION_KEYRING is -3
	userKeyring    = ^uintptr(3)
)

// dumpCore: the host's handler may be a pipe to a program of root's.
func dumpCore() error {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		return e
	}
	if pid == 0 {
		me, _, _ := unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
		var action [4]uint64 // SIG_DFL
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGQUIT), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
		for {
			unix.RawSyscall(unix.SYS_KILL, me, uintptr(unix.SIGQUIT), 0)
		}
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil {
		return err
	}
	if !status.CoreDump() {
		return fmt.Errorf("it ended with %v, no core", status.Signal())
	}
	return nil
}
