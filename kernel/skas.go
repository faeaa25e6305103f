package kernel

// SKAS are the ways in which the kernel can run its guest's processes: ptrace, which every
// one of today has, seccomp (from 6.16 on, if its arguments say so), and skas3, which
// wants a host with a patch (paper 5.2). The search takes some ms.
func (i *Image) SKAS() (kinds []string, err error) {
	kinds = []string{"ptrace"}
	if i.Seccomp {
		kinds = append(kinds, "seccomp")
	}
	old, err := i.Contains("/proc/mm", "")
	if old {
		kinds = append(kinds, "skas3")
	}
	return kinds, err
}
