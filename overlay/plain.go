package overlay

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"uml/early"
)

const (
	plainMark   = "/plain"
	modulesDisc = "/dev/ubdo" // ubd14, which a start gives to a guest whose kernel has one beside it
	modulesDir  = "/ubdo"
)

// plain mounts the root as the kernel itself does, and the disc with the kernel's modules
// in it.
func plain(a arguments) error {
	if err := mountRoot(a); err != nil {
		return fmt.Errorf("root=%s: %w", a.root, err)
	}
	if err := mountModules(); err != nil {
		say("warning: the kernel's modules: %v", err) // a guest without them is more than none
	}
	return nil
}

// mountRoot: read-only unless rw is said; and where it cannot be written, read-only all the
// same (mount_block_root).
func mountRoot(a arguments) error {
	device, err := rootDevice(a.root)
	if err != nil {
		return err
	}
	kinds := strings.FieldsFunc(a.kinds, func(r rune) bool { return r == ',' })
	if len(kinds) == 0 {
		if kinds, err = early.Kinds(); err != nil {
			return err
		}
	}
	if a.writable {
		if _, err = early.MountAs(device, newRoot, kinds, 0, a.options); err == nil {
			return nil
		}
		say("warning: the root is not mounted to be written: %v", err)
	}
	_, err = early.MountAs(device, newRoot, kinds, unix.MS_RDONLY, a.options)
	return err
}

// rootDevice is a device's file, of /dev/NAME, NAME or MAJOR:MINOR, which is what the
// kernel says if it is told nothing (98:0; arch/um/kernel/um_arch.c).
func rootDevice(root string) (string, error) {
	if major, minor, ok := strings.Cut(root, ":"); ok {
		a, err1 := strconv.ParseUint(major, 10, 12)
		b, err2 := strconv.ParseUint(minor, 10, 20)
		if err := errors.Join(err1, err2); err != nil {
			return "", errNoDevice
		}
		return named(unix.Mkdev(uint32(a), uint32(b)))
	}
	device := "/dev/" + strings.TrimPrefix(root, "/dev/")
	if st, err := os.Stat(device); err != nil || st.Mode().Type() != os.ModeDevice {
		return "", errNoDevice
	}
	return device, nil
}

// named is the disc's file in /dev that has this number.
func named(number uint64) (string, error) {
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		var st unix.Stat_t
		name := "/dev/" + e.Name()
		if unix.Stat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK && st.Rdev == number {
			return name, nil
		}
	}
	return "", errNoDevice
}

var errNoDevice = errors.New("is no disc of this guest, by a name that the initrd knows (try root=/dev/ubda; or leave the initrd out, by an empty settings/initrd)")

// mountModules: on /lib/modules, where that is in the root.
func mountModules() error {
	if _, err := os.Stat(modulesDisc); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	root, err := unix.Open(newRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	// The root may have /lib as a link to /usr/lib, and any other link.
	at, err := unix.Openat2(root, "lib/modules", &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open /lib/modules: %w", err)
	}
	defer unix.Close(at)
	if _, err := early.Mount(modulesDisc, modulesDir, unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID); err != nil {
		return err
	}
	if err := unix.Mount(modulesDir, "/proc/self/fd/"+strconv.Itoa(at), "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("mount on /lib/modules: %w", err)
	}
	return nil
}
