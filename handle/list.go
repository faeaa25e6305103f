package handle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// An Entry is a name in a directory.
type Entry struct {
	Name    string
	Regular bool // a regular file, as far as the filesystem lists it
}

// List opens a directory below d for Entries too, if the calling thread may read it.
func (d *Dir) List(name string) (*Dir, error) {
	return d.sub(name, unix.O_RDONLY)
}

// Entries lists the directory, unsorted, at most limit names of it.
func (d *Dir) Entries(limit int) (all []Entry, err error) {
	fd := d.fd
	if !d.unread {
		fd, err = unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "list", Path: d.Path, Err: err}
		}
		defer unix.Close(fd)
	}
	d.unread = false
	for buf := make([]byte, 4096); len(all) < limit; {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "list", Path: d.Path, Err: err}
		}
		if n == 0 {
			break
		}
		all = parse(all, buf[:n])
	}
	return all[:min(limit, len(all))], nil
}

// Names lists the directory, unsorted, at most limit names of it.
func (d *Dir) Names(limit int) (names []string, err error) {
	all, err := d.Entries(limit)
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names, err
}

// parse takes what getdents64(2) gives apart: inode, offset, the entry's length, its
// type, its name with a NUL. Of inode 0 is what was deleted meanwhile.
func parse(all []Entry, buf []byte) []Entry {
	const lengthAt, typeAt, nameAt = 16, 18, 19
	for len(buf) > nameAt {
		e := buf[:min(len(buf), max(nameAt, int(binary.NativeEndian.Uint16(buf[lengthAt:]))))]
		buf = buf[len(e):]
		name, _, _ := bytes.Cut(e[nameAt:], []byte{0})
		if s := string(name); s != "." && s != ".." && binary.NativeEndian.Uint64(e) != 0 {
			all = append(all, Entry{s, e[typeAt] == unix.DT_REG})
		}
	}
	return all
}

// OpenEntry is Open for who will read a regular file. In a directory that is root's
// alone what was listed as one is opened for reading at once: Read then takes no
// second open, through /proc, for which the kernel needs longer than for all else of
// a small file.
func (d *Dir) OpenEntry(e Entry) (*File, error) {
	if e.Regular && d.roots() {
		if fd, err := openBeneath(d.fd, e.Name, reading|unix.O_NOFOLLOW); err == nil {
			f, err := newFile(fd, d.Join(e.Name))
			if err == nil {
				f.readable = true
			}
			return f, err
		}
	}
	return d.Open(e.Name) // which says what it is, and Read why it cannot be read
}

// roots says whether nobody but root can put another file where one is.
func (d *Dir) roots() bool {
	if d.own == unasked {
		d.own = others
		if st, err := d.Stat(); err == nil && st.Uid == 0 && st.Mode&0o022 == 0 {
			d.own = root
		}
	}
	return d.own == root
}

// owner says who can change what is in a directory, once it was asked.
type owner int

const (
	unasked owner = iota
	root          // nobody else
	others
)
