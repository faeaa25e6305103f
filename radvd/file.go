package radvd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// A file is radvd's configuration, named without links: an administrator's link
// stays, and leads to the new file as it did to the old one.
type file struct {
	name string
	stat unix.Stat_t // of the file as it was read
	is   bool        // there was one
}

// maxFile is more than radvd could work with.
const maxFile = 64 << 20

// find follows the links of a name, the last of which may lead to no file yet.
func find(name string) (*file, error) {
	for range 40 { // the kernel follows as many
		dir, err := realDir(filepath.Dir(name))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return nil, fault.Permanent("%s: there is no such directory (see the host's setting radvd-conf)", filepath.Dir(name))
		}
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENAMETOOLONG) {
			return nil, fault.Permanent("%w", err)
		}
		if err != nil {
			return nil, err
		}
		name = filepath.Join(dir, filepath.Base(name))
		to, err := os.Readlink(name)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			// Nobody else may put a file there between our look and our rename.
			return &file{name: name}, handle.Rooted(dir)
		}
		if err != nil {
			return nil, err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		name = to
	}
	return nil, fault.Permanent("%s: %w", name, unix.ELOOP)
}

// realDir is a directory's name without links.
func realDir(name string) (string, error) {
	dir, err := handle.OpenDir(name)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return dir.Real()
}

// read returns the text, "" if there is no file.
func (f *file) read() (string, error) {
	h, err := handle.Open(f.name)
	if f.is = !errors.Is(err, unix.ENOENT); !f.is {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer h.Close()
	if err := h.Regular(); err != nil {
		return "", err
	}
	if h.Stat.Uid != 0 || h.Stat.Mode&0o022 != 0 {
		return "", fault.Permanent("%s: is not root's alone (try: chown root %s; chmod go-w %s)", f.name, f.name, f.name)
	}
	if h.Stat.Size > maxFile {
		return "", fault.Permanent("%s: is %d bytes, no configuration of radvd", f.name, h.Stat.Size)
	}
	f.stat = h.Stat
	r, err := h.Reopen(unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	return string(text), err
}

// replace makes text the file, or with "" removes it, unless it is no longer what
// was read. It is done in one step: whoever looks finds the old one or the new one
// whole, and so does a host that lost its power. What a killed run left beside it is
// of no use to anybody.
func (f *file) replace(text string) error {
	dir, base := filepath.Split(f.name)
	fresh := filepath.Join(dir, "."+base+".uml-net")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if text == "" {
		if err := f.same(); err != nil {
			return err
		}
		if err := os.Remove(f.name); err != nil {
			return err
		}
		return syncDir(dir)
	}
	if err := f.write(fresh, text); err != nil {
		os.Remove(fresh)
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	err := f.same()
	if err == nil {
		err = os.Rename(fresh, f.name)
	}
	if err != nil {
		os.Remove(fresh)
		return err
	}
	return syncDir(dir)
}

// write makes a file of root's that all can read, since radvd may run as another
// user; or, if there is one already, its group, with its mode.
func (f *file) write(name, text string) error {
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer w.Close()
	mode := os.FileMode(0o644)
	if f.is {
		mode = os.FileMode(f.stat.Mode & 0o755)
		if err := w.Chown(0, int(f.stat.Gid)); err != nil {
			return err
		}
	}
	if err := w.Chmod(mode); err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := os.Chtimes(name, time.Time{}, time.Now().Add(-still)); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return err
	}
	return w.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
