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
