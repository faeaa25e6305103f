package settings

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// Write sets one of the machine's settings, "" for none. It is written beside the
// settings, since a file among them is one, and moved there when it is whole.
func Write(dir *handle.Dir, name, value string) error {
	if value != "" {
		value += "\n"
	}
	temp := "." + name + ".new"
	fd, err := unix.Openat(dir.Fd(), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("make %s: %w", dir.Join(temp), err)
	}
	f := os.NewFile(uintptr(fd), dir.Join(temp))
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Renameat(dir.Fd(), temp, dir.Fd(), "settings/"+name); err != nil {
		return fmt.Errorf("rename %s to %s: %w", f.Name(), dir.Join("settings/"+name), err)
	}
	return syncDir(dir, "settings")
}

func syncDir(dir *handle.Dir, name string) error {
	fd, err := unix.Openat(dir.Fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir.Join(name), err)
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil {
		return fmt.Errorf("sync %s: %w", dir.Join(name), err)
	}
	return nil
}
