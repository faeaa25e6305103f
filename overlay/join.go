package overlay

import (
	"errors"
	"fmt"
	"os"

	"uml/early"

	"golang.org/x/sys/unix"
)

// Where things are until init runs. They are gone from its sight then.
const (
	baseDir = "/base"
	discDir = "/disc"
	newRoot = "/root"
)

// join mounts both discs and the overlay of them at newRoot.
func join(a arguments) error {
	base, err := early.Mount(a.base, baseDir, unix.MS_RDONLY)
	if errors.Is(err, unix.EROFS) {
		err = fmt.Errorf("%w (it was not unmounted cleanly: on the host, e2fsck the file, or mount it once)", err)
	}
	if err != nil {
		return fmt.Errorf("the base disc %w", err)
	}
	disc, err := early.Mount(a.disc, discDir, 0)
	if err != nil {
		return fmt.Errorf("the writable disc %w", err)
	}
	if err := prepare(a.base); err != nil {
		return fmt.Errorf("the writable disc %s: %w", a.disc, err)
	}
	if err := mountOverlay(a.disc); err != nil {
		return err
	}
	say("%s (%s), read-only, below %s (%s)", a.base, base, a.disc, disc)
	// The overlay holds both by mounts of its own. What is seen of them could be
	// changed behind its back.
	return errors.Join(unix.Unmount(baseDir, unix.MNT_DETACH), unix.Unmount(discDir, unix.MNT_DETACH))
}

// prepare makes on the writable disc what the overlay needs there.
func prepare(base string) error {
	if err := os.Mkdir(discDir+"/work", 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	err := os.Mkdir(discDir+"/upper", 0o755)
	if err == nil {
		err = likeBase(discDir + "/upper")
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return sameBase(base, discDir+"/base")
}

// likeBase: / has the owner and mode of upper.
func likeBase(upper string) error {
	var st unix.Stat_t
	if err := unix.Stat(baseDir, &st); err != nil {
		return fmt.Errorf("stat the base's /: %w", err)
	}
	return errors.Join(os.Chown(upper, int(st.Uid), int(st.Gid)), unix.Chmod(upper, st.Mode&0o7777))
}

// mountOverlay: with redirect_dir a directory of the base can be renamed, which would
// else fail with EXDEV; with xino a file keeps its inode number when it is written.
// Where it cannot make its work directory it mounts read-only (ovl_make_workdir).
func mountOverlay(disc string) error {
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work,redirect_dir=on,xino=auto", baseDir, discDir)
	err := unix.Mount("overlay", newRoot, "overlay", 0, options)
	if errors.Is(err, unix.ENODEV) {
		return errors.New("this kernel has no overlayfs, and the initramfs no module of it (write it for this kernel)")
	}
	if err != nil {
		return fmt.Errorf("mount the overlay: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(newRoot, &fs); err != nil {
		return fmt.Errorf("statfs of the overlay: %w", err)
	}
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		say("warning: / is read-only: %s has no room for the overlay's work directory, or no support for it (see dmesg)", disc)
	case fs.Bavail == 0 || fs.Ffree == 0:
		say("warning: %s is full", disc)
	}
	return nil
}
