package jail

import (
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// The filter is classic BPF over struct seccomp_data (linux/seccomp.h): first the
// calls that are judged by an argument, then those that are always allowed, then
// the answer to all others. Its order costs nothing: since 5.11 the host works out
// once which calls are allowed whatever their arguments, and keeps a bitmap of
// them (kernel/seccomp.c); the hot ones are all of these.
const (
	atCall = 0  // seccomp_data.nr
	atArch = 4  // seccomp_data.arch
	atArgs = 16 // seccomp_data.args, 64 bits each; the low half comes first
)

// A check decides about a call by one of its arguments, or always alike.
type check struct {
	call, arg uint32
	oneOf     []uint32   // allowed if the argument is one of these
	without   uint32     // allowed if the argument has none of these bits
	errno     unix.Errno // always this, whatever the setting
}

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

// program assembles the filter. Calls of another architecture have other numbers
// (int 0x80), and are denied as a whole. Those of x32 have a bit in theirs that no
// call in the list has.
func program(always []uint32, checks []check, deny uint32) []unix.SockFilter {
	code := []unix.SockFilter{
		load(atArch),
		jumpEqual(arch, 1, 0),
		ret(deny),
		load(atCall),
	}
	for _, c := range checks {
		body := c.assemble(deny)
		code = append(code, jumpEqual(c.call, 0, uint8(len(body))))
		code = append(code, body...)
	}
	for _, r := range ranges(always) {
		code = append(code,
			jump(unix.BPF_JGE, r[0], 0, 2),
			jump(unix.BPF_JGT, r[1], 1, 0),
			ret(unix.SECCOMP_RET_ALLOW))
	}
	return append(code, ret(deny))
}

// assemble is what is done with the call when it is c's; it always returns. Only
// an argument's low half is looked at, as the kernel does with these.
func (c check) assemble(deny uint32) []unix.SockFilter {
	if c.errno != 0 {
		return []unix.SockFilter{ret(unix.SECCOMP_RET_ERRNO | uint32(c.errno))}
	}
	code := []unix.SockFilter{load(atArgs + 8*c.arg)}
	if c.without != 0 {
		return append(code,
			jump(unix.BPF_JSET, c.without, 0, 1),
			ret(deny),
			ret(unix.SECCOMP_RET_ALLOW))
	}
	for i, v := range c.oneOf {
		code = append(code, jumpEqual(v, uint8(len(c.oneOf)-i), 0))
	}
	return append(code, ret(deny), ret(unix.SECCOMP_RET_ALLOW))
}

// ranges are the numbers as first and last of each run.
func ranges(calls []uint32) (all [][2]uint32) {
	for _, c := range slices.Sorted(slices.Values(calls)) {
		if n := len(all); n > 0 && c-all[n-1][1] <= 1 {
			all[n-1][1] = c
			continue
		}
		all = append(all, [2]uint32{c, c})
	}
	return all
}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func jumpEqual(k uint32, yes, no uint8) unix.SockFilter { return jump(unix.BPF_JEQ, k, yes, no) }

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

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
	return program(always, checks, deny.ret)
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
			return fault.Permanent("this host's kernel has no seccomp filters (%w; settings/seccomp: off starts without)", e)
		}
		if e != 0 {
			return fmt.Errorf("install the seccomp filter: %w", e)
		}
	}
	_, _, e := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])))
	return e
}
