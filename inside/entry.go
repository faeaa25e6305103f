package inside

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// entry makes one entry of an archive.
func (p *unpacker) entry(h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeGNUSparse, tar.TypeCont:
	default:
		return fault.Permanent("is of a kind %q that is not known", h.Typeflag)
	}
	name, err := p.name(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return p.directory(h, name)
	}
	if name == p.dir {
		return fault.Permanent("takes the place of the root directory")
	}
	if h.Typeflag == tar.TypeLink {
		return p.link(h)
	}
	if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse || h.Typeflag == tar.TypeCont {
		if err := p.file(h, name, content); err != nil {
			return err
		}
		return errors.Join(p.extended(h, name), p.times(h))
	}
	if err := p.placed(name, func() error { return special(h, name) }); err != nil {
		return err
	}
	return errors.Join(p.attributes(h, name), p.extended(h, name), p.times(h))
}

// name is where an entry goes: an absolute one below the root too, as tar does it.
func (p *unpacker) name(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", fault.Permanent("leads out of where it is unpacked")
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fault.Permanent("%q: is no name", name)
	}
	return filepath.Join(p.dir, path.Clean("/"+name)), nil
}

// placed makes something that is no directory, with what is in its way gone and what it
// lies in there. The later of two entries counts.
func (p *unpacker) placed(name string, make func() error) error {
	err := make()
	if errors.Is(err, unix.ENOENT) {
		if err := p.above(name); err != nil {
			return err
		}
		err = make()
	}
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	err = unix.Unlink(name)
	if errors.Is(err, unix.EISDIR) && unix.Rmdir(name) != nil {
		return fault.Permanent("is a directory with something in it, and something else, in one archive")
	} else if err != nil && !errors.Is(err, unix.EISDIR) {
		return err
	}
	return make()
}

// above makes the directories that an archive does not have, or has later.
func (p *unpacker) above(name string) error { return os.MkdirAll(filepath.Dir(name), 0o755) }

func (p *unpacker) directory(h *tar.Header, name string) error {
	if err := p.above(name); err != nil {
		return err
	}
	err := os.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		st, stat := os.Lstat(name)
		if stat != nil {
			return stat
		}
		if err = nil; !st.IsDir() {
			err = errors.Join(os.Remove(name), os.Mkdir(name, 0o700))
		}
	}
	if err != nil {
		return err
	}
	if len(p.late) < most { // the times of the others are those of now
		p.late = append(p.late, h)
	}
	return errors.Join(p.attributes(h, name), p.extended(h, name))
}

// link makes a hard link, or keeps it for later.
func (p *unpacker) link(h *tar.Header) error {
	name, err := p.name(h.Name)
	if err != nil {
		return err
	}
	to, err := p.name(h.Linkname)
	if err != nil {
		return err
	}
	if name == to { // of an archive of one file under two spellings of its name
		return nil
	}
	if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		if len(p.links) == most {
			return fault.Permanent("is one of more than %d links that come before what they name", most)
		}
		p.links = append(p.links, h)
		return nil
	}
	return p.placed(name, func() error { return unix.Link(to, name) })
}

// special makes what is neither a directory nor a regular file.
func special(h *tar.Header, name string) error {
	device := int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
	switch h.Typeflag {
	case tar.TypeSymlink:
		return unix.Symlink(h.Linkname, name)
	case tar.TypeChar:
		return unix.Mknod(name, unix.S_IFCHR|0o600, device)
	case tar.TypeBlock:
		return unix.Mknod(name, unix.S_IFBLK|0o600, device)
	}
	return unix.Mkfifo(name, 0o600)
}

// attributes are whose it is and its permissions: in this order, since the other would take
// a set-uid bit away.
func (p *unpacker) attributes(h *tar.Header, name string) error {
	if h.Uid != 0 || h.Gid != 0 || h.Typeflag == tar.TypeDir { // which may be an earlier entry's
		if err := unix.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	return unix.Chmod(name, uint32(h.Mode)&0o7777)
}

// extended are attributes (xattr(7)), as GNU tar and bsdtar have them: capabilities, which a
// change of the owner would take away, and access lists among them.
func (p *unpacker) extended(h *tar.Header, name string) error {
	for key, value := range h.PAXRecords {
		attribute, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok {
			continue
		}
		if err := unix.Lsetxattr(name, attribute, []byte(value), 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("its attribute %q: %w", attribute, err)
		}
	}
	return nil
}

func (p *unpacker) times(h *tar.Header) error {
	name, err := p.name(h.Name)
	if err != nil {
		return err
	}
	t, err := unix.TimeToTimespec(h.ModTime)
	if err != nil { // before 1901, or after 2038 on who has 32 bits
		return nil
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}
