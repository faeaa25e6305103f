package inside

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/job"
)

// unpackWithin makes of the archive on the device what is in it, in the filesystem.
func unpackWithin(u *job.Unpack) error {
	f, err := os.Open(u.Device) // while its name leads there
	if err != nil {
		return err
	}
	defer f.Close()
	unix.Umask(0)
	return within(func() error { return unpackTo("/", io.LimitReader(f, u.Size)) })
}

// unpackTo unpacks an archive into a directory that is the root of whoever calls: no link
// leads out of it.
func unpackTo(dir string, r io.Reader) error {
	p, err := newUnpacker(dir)
	if err != nil {
		return err
	}
	for t := tar.NewReader(bufio.NewReaderSize(r, 1<<20)); ; {
		h, err := t.Next()
		if err == io.EOF {
			return p.finish()
		}
		if err != nil {
			return fault.Permanent("the archive, after %d entries: %w", p.entries, err)
		}
		if err := p.entry(h, t); err != nil {
			return p.explain(h.Name, err)
		}
		p.entries++
	}
}

// An unpacker is where an archive goes.
type unpacker struct {
	dir     string
	room    int64 // bytes of the whole filesystem
	entries int
	late    []*tar.Header // directories, whose times change until all is in them
	links   []*tar.Header // hard links that come before what they name, as in flattened layers
	buf     []byte
}

// most bounds what is kept until the end: it lies in the guest's memory.
const most = 100_000

func newUnpacker(dir string) (*unpacker, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return nil, err
	}
	return &unpacker{dir: dir, room: int64(fs.Blocks) * fs.Bsize, buf: make([]byte, 256<<10)}, nil
}

// explain: what the kernel says of a name is about what is in the archive, and lasts.
func (p *unpacker) explain(name string, err error) error {
	if !errors.Is(err, unix.ENOSPC) {
		return fault.Permanent("%s: %w", name, bare(err))
	}
	var fs unix.Statfs_t
	if unix.Statfs(p.dir, &fs) == nil && fs.Ffree == 0 {
		return fault.Permanent("%s: the filesystem has room for %d files and directories, and there are more (make it larger: --size)", name, fs.Files)
	}
	return fault.Permanent("%s: the filesystem of %d MiB is full, after %d entries (make it larger: --size)", name, p.room>>20, p.entries)
}

// bare is the kernel's word alone: the name that the entry has is said already.
func bare(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

// finish makes the links that had to wait, and sets the times of directories.
func (p *unpacker) finish() error {
	for len(p.links) > 0 {
		before := len(p.links)
		waiting := p.links
		p.links = nil
		for _, h := range waiting {
			if err := p.link(h); err != nil {
				return p.explain(h.Name, err)
			}
		}
		if len(p.links) == before {
			h := p.links[0]
			return fault.Permanent("%s: is a link to %s, which the archive does not have", h.Name, h.Linkname)
		}
	}
	for i := len(p.late) - 1; i >= 0; i-- {
		h := p.late[i]
		if err := p.times(h); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) { // a later entry took its place
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}
