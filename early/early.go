// Package early is what a guest's first process does first, when it comes from an
// initramfs: the command line and the devices, modules, the filesystem on a disc. It runs
// in the guest; packages overlay and inside are the two that go on from there.
package early

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Surroundings are what the rest needs: the command line and the devices.
func Surroundings() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"devtmpfs", "/dev"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

// LoadModules loads what the archive has, in the order of the names. One that is
// there already is none the worse.
func LoadModules() error {
	names, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w (is it of this kernel's release?)", name, err)
		}
	}
	return nil
}

// Mount mounts a disc: it tries each filesystem that the kernel has, as the kernel itself does
// for root= (do_mounts.c, mount_block_root), silently: the others than the right one
// would each have a line in the log.
func Mount(device, at string, flags uintptr) (kind string, err error) {
	st, err := os.Stat(device)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s: there is no such disc", device)
	}
	if err != nil {
		return "", err
	}
	if st.Mode().Type() != os.ModeDevice {
		return "", fmt.Errorf("%s: is no disc", device)
	}
	kinds, err := Kinds()
	if err != nil {
		return "", err
	}
	return MountAs(device, at, kinds, flags, "")
}

// Kinds are the filesystems that the kernel has for discs, without those whose modules
// are not loaded.
func Kinds() ([]string, error) {
	list, err := os.ReadFile("/proc/filesystems")
	return onBlocks(string(list)), err
}

// MountAs tries these filesystems, with their options.
func MountAs(device, at string, kinds []string, flags uintptr, options string) (kind string, err error) {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return "", err
	}
	var first error // that says more than that it is another's
	for _, kind := range kinds {
		err := unix.Mount(device, at, kind, flags|unix.MS_SILENT, options)
		if err == nil {
			return kind, nil
		}
		if first == nil && !errors.Is(err, unix.EINVAL) {
			first = fmt.Errorf("%s: mount as %s: %w", device, kind, err)
		}
	}
	if first == nil {
		first = fmt.Errorf("%s: has no filesystem that this kernel knows", device)
	}
	return "", first
}

// onBlocks are those filesystems of /proc/filesystems that are on block devices.
func onBlocks(list string) (kinds []string) {
	for line := range strings.Lines(list) {
		if kind, ok := strings.CutPrefix(line, "\t"); ok {
			kinds = append(kinds, strings.TrimSpace(kind))
		}
	}
	return kinds
}
