package rights

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// confined is how a program is called when it is executed anew, behind its name.
const confined = ": confined"

// Confined says whether this is the program that Confine has executed.
func Confined(name string) bool {
	bits, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return os.Args[0] == name+confined && err == nil && bits == 1
}

// Confine gives up all capabilities but these (CAP_*), and the right to get others, and
// executes the program anew, with its arguments; it returns only an error.
func Confine(name string, args []string, these ...uint) error {
	if err := keep(these); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	args = append([]string{name + confined}, args[1:]...)
	return fmt.Errorf("execute %s anew: %w", name, unix.Exec("/proc/self/exe", args, os.Environ()))
}

// Apart makes namespaces (CLONE_NEW*), of mounts too. A filesystem that the host unmounts is
// not held there. Without the right to do so: EPERM, permanent.
func Apart(namespaces int) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | namespaces); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fault.Permanent("cannot make namespaces to be confined in: %w (root without CAP_SYS_ADMIN, in a container? --open goes on without)", err)
		}
		return fmt.Errorf("make namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts follow the host's: %w", err)
	}
	return nil
}
