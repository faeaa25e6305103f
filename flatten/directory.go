package flatten

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// Directory writes what is below a directory: by descriptor, without following links, with
// owners, modes, hard links and extended attributes. Of other filesystems mounted there
// only the directory is taken, as of /proc in a chroot.
func Directory(ctx context.Context, o Options, dir string, out *os.File) error {
	d, err := handle.OpenDir(dir)
	if err != nil {
		return fault.Permanent("%w", err)
	}
	defer d.Close()
	st, err := d.Stat()
	if err != nil {
		return err
	}
	w := o.output(ctx, out)
	// The program counts in MiB, not in files: a bar with an end would need another walk.
	buffer := bufio.NewWriterSize(w, 1<<20)
	t := tree{o: o, w: tar.NewWriter(buffer), device: st.Dev, seen: map[inode]string{}}
	err = t.entry(d.Fd(), &st, ".", "")
	if err == nil {
		err = t.below(d, ".")
	}
	if err == nil {
		err = errors.Join(t.w.Close(), buffer.Flush(), w.end())
	}
	return err
}

// An inode is one that has several names.
type inode struct{ device, number uint64 }

type tree struct {
	o      Options
	w      *tar.Writer
	device uint64
	seen   map[inode]string
}

func (t *tree) below(d *handle.Dir, name string) error {
	names, err := d.Names(math.MaxInt)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if err := t.one(d, n, path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) one(d *handle.Dir, last, name string) error {
	f, err := d.Open(last)
	if errors.Is(err, unix.ENOENT) {
		t.o.Say(d.Join(last) + ": is gone meanwhile, and left out")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st := &f.Stat
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return t.directory(d, f, last, name)
	case unix.S_IFSOCK: // somebody's who listens here
		return nil
	}
	link := ""
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		if link, err = readlink(f); err != nil {
			return err
		}
	}
	if st.Nlink > 1 {
		i := inode{st.Dev, st.Ino}
		if before, ok := t.seen[i]; ok {
			return t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: before, ModTime: modified(st), Format: tar.FormatPAX})
		}
		t.seen[i] = name
	}
	if err := t.entry(f.Fd(), st, name, link); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size == 0 {
		return nil
	}
	return t.content(f)
}

func (t *tree) directory(d *handle.Dir, f *handle.File, last, name string) error {
	if err := t.entry(f.Fd(), &f.Stat, name, ""); err != nil {
		return err
	}
	if f.Stat.Dev != t.device {
		t.o.Say(f.Path + ": what is in it is left out, since it is another filesystem")
		return nil
	}
	sub, err := d.List(last)
	if err != nil {
		return err
	}
	defer sub.Close()
	if st, err := sub.Stat(); err != nil || st.Ino != f.Stat.Ino {
		return errors.Join(fault.Temporary("%s: was replaced meanwhile", f.Path), err)
	}
	return t.below(sub, name)
}

func readlink(f *handle.File) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(f.Fd(), "", buf)
	if err != nil {
		return "", &os.PathError{Op: "read the link", Path: f.Path, Err: err}
	}
	return string(buf[:n]), nil
}

func modified(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }

// entry writes what the kernel says of something that is open.
func (t *tree) entry(fd int, st *unix.Stat_t, name, link string) error {
	h := &tar.Header{
		Name: name, Linkname: link, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: modified(st), Format: tar.FormatPAX,
		Devmajor: int64(unix.Major(st.Rdev)), Devminor: int64(unix.Minor(st.Rdev)),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
	case unix.S_IFCHR:
		h.Typeflag = tar.TypeChar
	case unix.S_IFBLK:
		h.Typeflag = tar.TypeBlock
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	}
	var err error
	if h.PAXRecords, err = attributes(fd, name); err != nil {
		return err
	}
	if err := t.w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// content copies a file as long as it was.
func (t *tree) content(f *handle.File) error {
	in, err := f.Reopen(unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.CopyN(t.w, in, f.Stat.Size)
	if err == io.EOF {
		return fault.Temporary("%s: became shorter while it was read", f.Path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

// attributes are the extended ones (xattr(7)), capabilities and access lists among them. The
// host's own labels mean nothing in a guest.
func attributes(fd int, name string) (map[string]string, error) {
	proc := fmt.Sprintf("/proc/self/fd/%d", fd) // which leads to a link itself too
	buf := make([]byte, 64<<10)
	n, err := unix.Listxattr(proc, buf)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: list its attributes: %w", name, err)
	}
	all := map[string]string{}
	for key := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if key == "security.selinux" || strings.HasPrefix(key, "trusted.overlay.") || strings.Contains(key, "=") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Getxattr(proc, key, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: attribute %s: %w", name, key, err)
		}
		all["SCHILY.xattr."+key] = string(value[:n])
	}
	return all, nil
}
