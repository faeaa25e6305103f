package inside

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/early"
	"uml/fault"
	"uml/fit"
	"uml/job"
)

// root is where the filesystem is mounted.
const root = "/root"

// do does the job, and sees that it is on the disc.
func do(j *job.Job) (facts *job.Facts, err error) {
	kind, err := mount(j)
	if err != nil {
		return nil, fault.Permanent("its filesystem: %w", err)
	}
	defer func() { err = errors.Join(err, unmount(j.ReadOnly)) }()
	var fitted *job.Fitted
	if j.Grow {
		if err := grow(j.Root, kind); err != nil {
			return nil, fmt.Errorf("grow the filesystem: %w", err)
		}
	}
	if j.Unpack != nil {
		if err := unpackWithin(j.Unpack); err != nil {
			return nil, err
		}
	}
	if j.Upgrade != nil {
		if err := upgrade(j.Upgrade); err != nil {
			return nil, err
		}
	}
	if j.Fit != nil {
		if fitted, err = fitWithin(j.Fit); err != nil {
			return nil, err
		}
	}
	if j.Look {
		err = within(func() (err error) {
			facts, err = look()
			return err
		})
		if err == nil {
			facts.Kind = kind
		}
	}
	if err == nil && fitted != nil {
		if facts == nil {
			facts = &job.Facts{}
		}
		facts.Fitted = fitted
	}
	return facts, err
}

func fitWithin(f *job.Fit) (fitted *job.Fitted, err error) {
	err = within(func() error {
		at, err := os.OpenRoot("/")
		if err != nil {
			return err
		}
		defer at.Close()
		fitted, err = fit.Do(at, f)
		return err
	})
	return fitted, err
}

// mount takes ext4 without its journal where that is allowed, which spares half of what a
// small job writes; a journal that has something in it is not left out (fs/ext4/super.c,
// "required journal recovery suppressed").
func mount(j *job.Job) (kind string, err error) {
	flags := uintptr(unix.MS_NODEV | unix.MS_NOSUID)
	if j.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	if j.Scratch && !j.ReadOnly {
		if kind, err := early.MountAs(j.Root, root, []string{"ext4"}, flags, "noload"); err == nil {
			return kind, nil
		}
	}
	return early.Mount(j.Root, root, flags)
}

// within does something with the filesystem as /, so that no link of it leads elsewhere.
func within(do func() error) (err error) {
	out, err := os.Open("/")
	if err != nil {
		return err
	}
	defer out.Close()
	if err := errors.Join(unix.Chroot(root), unix.Chdir("/")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Chdir(), unix.Chroot(".")) }()
	return do()
}

// unmount writes what is not written yet. An error of the disc is told by syncfs(2) only.
func unmount(readOnly bool) error {
	if readOnly {
		return unix.Unmount(root, 0)
	}
	f, err := os.Open(root)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(f.Fd()))
	f.Close()
	if err := errors.Join(err, unix.Unmount(root, 0)); err != nil {
		return fmt.Errorf("write the filesystem: %w", err)
	}
	return nil
}
