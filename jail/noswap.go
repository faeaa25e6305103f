package jail

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// noSwap is the tmpfs's option (Documentation/filesystems/tmpfs.rst).
const noSwap = "noswap"

func (j *Jail) tmpFlags() []string {
	if j.NoSwap {
		return []string{noSwap}
	}
	return nil
}

// CanNoSwap says whether this host's tmpfs can be kept out of swap: from Linux 6.4 on,
// and for root of the host, not of a user namespace. It mounts nothing.
func CanNoSwap() (bool, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false, fmt.Errorf("make a tmpfs: %w", err)
	}
	defer unix.Close(fs)
	err = unix.FsconfigSetFlag(fs, noSwap)
	if errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	return err == nil, err
}
