package overlay

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// become goes into the new root and executes init there: switch_root(8). The guest
// finds what it would without an initramfs: nothing mounted but / and, if the root
// has the directory for it, /dev.
func become(init string) error {
	if err := unix.Mount("/dev", newRoot+"/dev", "", unix.MS_MOVE, ""); err != nil {
		unix.Unmount("/dev", unix.MNT_DETACH)
	}
	if err := unix.Unmount("/proc", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("umount /proc: %w", err)
	}
	// The memory of the initramfs is that of its files.
	if err := errors.Join(os.RemoveAll("/modules"), os.RemoveAll(plainMark), os.Remove("/init")); err != nil {
		return err
	}
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	// The first root cannot be pivoted away (pivot_root(2)): the new one covers it.
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root to /: %w", err)
	}
	if err := errors.Join(unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("go to the new root: %w", err)
	}
	return exec(init)
}

// exec tries what the kernel would (init/main.c, kernel_init).
func exec(init string) error {
	try := []string{"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"}
	if init != "" {
		try = []string{init}
	}
	var errs []error
	for _, name := range try {
		args := append([]string{name}, os.Args[1:]...)
		errs = append(errs, fmt.Errorf("execute %s: %w", name, unix.Exec(name, args, os.Environ())))
	}
	return errors.Join(errs...)
}
