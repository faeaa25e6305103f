// Package seccomp assembles filters of system calls and installs them.
//
// They are classic BPF over struct seccomp_data (linux/seccomp.h): first the calls
// that are judged by an argument, then those that are always answered alike, then
// the answer to all others. The order costs nothing: since 5.11 the host works out
// once which calls are allowed whatever their arguments, and keeps a bitmap of them
// (kernel/seccomp.c); the hot ones are all of these.
package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

const (
	atCall = 0  // seccomp_data.nr
	atArch = 4  // seccomp_data.arch
	atArgs = 16 // seccomp_data.args, 64 bits each; the low half comes first
)

// A Check decides about a call by one of its arguments, or always alike.
type Check struct {
	Call, Arg uint32
	OneOf     []uint32   // allowed if the argument is one of these
	With      uint32     // allowed if the argument has this bit
	Without   uint32     // and none of these
	Errno     unix.Errno // always this, whatever the answer to denied calls
}

// Allow is the filter that allows some calls and denies all others. Calls of
// another architecture have other numbers (int 0x80), and are denied as a whole.
// Those of x32 have a bit in theirs that no call in the list has.
func Allow(always []uint32, checks []Check, deny uint32) []unix.SockFilter {
	return program(nil, checks, always, unix.SECCOMP_RET_ALLOW, deny)
}

// Deny is the filter that denies some calls, all of another architecture and of
// x32, and allows all others.
func Deny(never []uint32, checks []Check, deny uint32) []unix.SockFilter {
	x32 := []unix.SockFilter{jump(unix.BPF_JGE, firstX32, 0, 1), ret(deny)}
	return program(x32, checks, never, deny, unix.SECCOMP_RET_ALLOW)
}

// firstX32 is the bit of x32's calls (__X32_SYSCALL_BIT). No other architecture has
// calls of such numbers.
const firstX32 = 1 << 30

// program answers each call of the list alike, and all others with rest; what a
// check does not allow is denied, as are all calls of another architecture.
func program(first []unix.SockFilter, checks []Check, list []uint32, listed, rest uint32) []unix.SockFilter {
	deny := rest
	if listed != unix.SECCOMP_RET_ALLOW {
		deny = listed
	}
	code := []unix.SockFilter{
		load(atArch),
		jumpEqual(Arch, 1, 0),
		ret(deny),
		load(atCall),
	}
	code = append(code, first...)
	for _, c := range checks {
		body := c.assemble(deny)
		code = append(code, jumpEqual(c.Call, 0, uint8(len(body))))
		code = append(code, body...)
	}
	for _, r := range ranges(list) {
		code = append(code,
			jump(unix.BPF_JGE, r[0], 0, 2),
			jump(unix.BPF_JGT, r[1], 1, 0),
			ret(listed))
	}
	return append(code, ret(rest))
}

// assemble is what is done with the call when it is c's; it always returns. Only
// an argument's low half is looked at, as the kernel does with these.
func (c Check) assemble(deny uint32) []unix.SockFilter {
	if c.Errno != 0 {
		return []unix.SockFilter{ret(unix.SECCOMP_RET_ERRNO | uint32(c.Errno))}
	}
	code := []unix.SockFilter{load(atArgs + 8*c.Arg)}
	if c.With|c.Without != 0 {
		if c.With != 0 {
			code = append(code, jump(unix.BPF_JSET, c.With, 1, 0), ret(deny))
		}
		if c.Without != 0 {
			code = append(code, jump(unix.BPF_JSET, c.Without, 0, 1), ret(deny))
		}
		return append(code, ret(unix.SECCOMP_RET_ALLOW))
	}
	for i, v := range c.OneOf {
		code = append(code, jumpEqual(v, uint8(len(c.OneOf)-i), 0))
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
