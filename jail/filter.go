package jail

import (
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/seccomp"
	"uml/settings"
)

// A denial is the answer to a call that is not in the list.
type denial struct {
	ret  uint32
	text string
}

var denials = map[settings.Seccomp]denial{
	settings.SeccompOn:   {unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM), "is refused"},
	settings.SeccompKill: {unix.SECCOMP_RET_KILL_PROCESS, "ends the process"},
	settings.SeccompLog:  {unix.SECCOMP_RET_LOG, "is logged by the host"},
}

// filter is the jail's; nil if it has none.
func (j *Jail) filter() []unix.SockFilter {
	deny, ok := denials[j.Seccomp]
	if !ok || len(allowed) == 0 {
		return nil
	}
	always := slices.Clone(allowed)
	if j.OwnFilter {
		always = append(always, underSeccomp...)
	}
	return seccomp.Allow(always, checks, deny.ret)
}

func (j *Jail) planFilter() string {
	deny, ok := denials[j.Seccomp]
	if !ok || len(allowed) == 0 {
		return "seccomp off"
	}
	return fmt.Sprintf("seccomp %v: a system call that no guest kernel has use for %s", j.Seccomp, deny.text)
}

// become installs the filter and becomes the program; it returns only an error.
// All is made ready before: under the filter this thread makes but the one call.
// If that fails it goes on in Go, whose own calls are in the list for that.
//
// SPEC_ALLOW: hosts before 5.16 would else slow down whoever has a filter, as if
// it ran code that it does not trust beside its own secrets.
func become(file string, args, env []string, code []unix.SockFilter) error {
	path, err := unix.BytePtrFromString(file)
	if err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	envv, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	if code != nil {
		prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
		_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&prog)))
		if e == unix.ENOSYS || e == unix.EINVAL {
			return fault.HostNoSeccomp.Permanent("this host's kernel has no seccomp filters (%w; settings/seccomp: off starts without)", e)
		}
		if e != 0 {
			return fmt.Errorf("install the seccomp filter: %w", e)
		}
	}
	_, _, e := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])))
	return e
}
