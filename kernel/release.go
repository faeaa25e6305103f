package kernel

import (
	"strings"

	"uml/fault"
)

// Release is the kernel's release, as uname -r says it in the guest and the directory
// of its modules is called: 6.1.176. It is taken from the line that the kernel begins
// its log with (linux_banner, init/version.c). The search takes some ms.
func (i *Image) Release() (string, error) {
	release, err := i.Word("Linux version ")
	if err != nil {
		return "", err
	}
	if release == "" || strings.ContainsAny(release, "/%") || release[0] == '.' {
		return "", fault.KernelBad.Permanent("does not say its release")
	}
	return release, nil
}

// Overlay says whether overlayfs is built in. If it is not, it may be a module. The
// text is what it begins its messages with. The search takes some ms.
func (i *Image) Overlay() (bool, error) { return i.Contains("overlayfs: ", "") }
