package jail

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"uml/seccomp"
	"uml/settings"
)

const (
	allow = unix.SECCOMP_RET_ALLOW
	eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
)

// vm runs a filter in a machine that is not the kernel's. That one reads packets,
// big-endian: the words of seccomp_data are written so.
func vm(t testing.TB, j *Jail) func(arch, call uint32, args ...uint64) uint32 {
	t.Helper()
	var raw []bpf.RawInstruction
	for _, i := range j.filter() {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("not all is BPF")
	}
	machine, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return func(arch, call uint32, args ...uint64) uint32 {
		words := []uint32{call, arch, 0, 0}
		for i := range 6 {
			a := append(slices.Clone(args), make([]uint64, 6)...)[i]
			words = append(words, uint32(a), uint32(a>>32))
		}
		data, _ := binary.Append(nil, binary.BigEndian, words)
		ret, err := machine.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(ret)
	}
}

func TestFilter(t *testing.T) {
	run := vm(t, &Jail{})
	for _, c := range []struct {
		name string
		call uint32
		arg  []uint64
		want uint32
	}{
		{"ptrace", unix.SYS_PTRACE, []uint64{unix.PTRACE_SYSEMU}, allow},
		{"fork", unix.SYS_CLONE, []uint64{unix.CLONE_VM | uint64(unix.SIGCHLD)}, allow},
		{"user namespace", unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		{"network namespace", unix.SYS_CLONE, []uint64{unix.CLONE_NEWNET}, eperm},
		{"clone3", unix.SYS_CLONE3, nil, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{"socket", unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, allow},
		{"high half", unix.SYS_SOCKET, []uint64{unix.AF_UNIX | 1<<32, unix.SOCK_DGRAM}, allow}, // the kernel takes an int
		{"IPv4", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM}, eperm},
		{"packets", unix.SYS_SOCKET, []uint64{unix.AF_PACKET}, eperm},
		{"first of ioctl", unix.SYS_IOCTL, []uint64{3, unix.TCGETS}, allow},
		{"last of ioctl", unix.SYS_IOCTL, []uint64{3, unix.TUNSETSNDBUF}, allow},
		{"TIOCSTI", unix.SYS_IOCTL, []uint64{3, unix.TIOCSTI}, eperm},
		{"TIOCSTI, high half", unix.SYS_IOCTL, []uint64{3, unix.TIOCSTI | 1<<32}, eperm},
		{"TUNSETPERSIST", unix.SYS_IOCTL, []uint64{3, unix.TUNSETPERSIST}, eperm},
		{"SIOCSIFHWADDR", unix.SYS_IOCTL, []uint64{3, unix.SIOCSIFHWADDR}, eperm},
		{"PDEATHSIG", unix.SYS_PRCTL, []uint64{unix.PR_SET_PDEATHSIG}, allow},
		{"dumpable", unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE}, eperm},
		{"own limits", unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE}, allow},
		{"limits of another", unix.SYS_PRLIMIT64, []uint64{4711, unix.RLIMIT_NOFILE}, eperm},
		{"seccomp", unix.SYS_SECCOMP, []uint64{1}, eperm},
		{"x32", unix.SYS_READ | 1<<30, nil, eperm},
		{"none", 1<<32 - 1, nil, eperm},
	} {
		if got := run(seccomp.Arch, c.call, c.arg...); got != c.want {
			t.Errorf("%s: got %#x, want %#x", c.name, got, c.want)
		}
	}
	if got := run(unix.AUDIT_ARCH_I386, unix.SYS_READ); got != eperm {
		t.Errorf("int 0x80: got %#x", got)
	}
	if got := vm(t, &Jail{OwnFilter: true})(seccomp.Arch, unix.SYS_SECCOMP, 1); got != allow {
		t.Errorf("seccomp under seccomp: got %#x", got)
	}
}

// Every call is judged as the lists say, whatever the setting.
func TestFilterWhole(t *testing.T) {
	judged := map[uint32]bool{}
	for _, c := range checks {
		if judged[c.Call] || slices.Contains(allowed, c.Call) {
			t.Errorf("call %d stands twice", c.Call)
		}
		judged[c.Call] = true
	}
	for setting, d := range denials {
		run := vm(t, &Jail{Seccomp: setting})
		for call := range uint32(1000) {
			want := d.ret
			if slices.Contains(allowed, call) {
				want = allow
			}
			if got := run(seccomp.Arch, call); !judged[call] && got != want {
				t.Errorf("%v: call %d: got %#x, want %#x", setting, call, got, want)
			}
			if got := run(unix.AUDIT_ARCH_I386, call); got != d.ret {
				t.Errorf("%v: call %d of i386: got %#x", setting, call, got)
			}
		}
	}
	if code := (&Jail{Seccomp: settings.SeccompOff}).filter(); code != nil {
		t.Errorf("off: got %d instructions", len(code))
	}
}
