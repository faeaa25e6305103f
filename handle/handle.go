// Package handle reaches files by descriptor below a directory that may be
// hostile. A file is opened once, with O_PATH, so that neither a fifo nor a
// device nor a lease can hold us; it is judged by what that descriptor says; and
// it is used through that descriptor. No symbolic link is followed and no path
// leaves the directory (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS).
//
// Do not use it for paths that the administrator gives and owns: those may well
// be symbolic links.
package handle

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A Dir is a directory held open, with O_PATH but by List. Its name in messages is
// Path.
type Dir struct {
	Path   string
	fd     int
	real   string // once it was asked
	own    owner
	unread bool // by List, and not yet listed
}

// OpenDir opens a directory that the administrator named; links are followed.
func OpenDir(name string) (*Dir, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: name, Err: err}
	}
	return &Dir{Path: name, fd: fd}, nil
}

// Given is a directory that came as a descriptor, which it takes over; name is for
// messages.
func Given(name string, fd int) *Dir { return &Dir{Path: name, fd: fd} }

// Fd is the descriptor, for system calls that take one.
func (d *Dir) Fd() int { return d.fd }

// Close lets the directory go.
func (d *Dir) Close() error { return unix.Close(d.fd) }

// Real is the directory's absolute path without links, as the kernel knew it when
// this was first asked, of it or of the one that it was opened in: no link leads
// from there. Only the first time must not be at once with another.
func (d *Dir) Real() (real string, err error) {
	if d.real == "" {
		d.real, err = realPath(d.fd, d.Path)
	}
	return d.real, err
}

// Join is the name of something below d in messages.
func (d *Dir) Join(name string) string { return path.Join(d.Path, name) }

// Dir opens a directory below d.
func (d *Dir) Dir(name string) (*Dir, error) { return d.sub(name, unix.O_PATH) }

// Open opens name below d without looking at what it is: a symbolic link, a
// fifo or a device is returned as itself, to be refused by its Stat.
func (d *Dir) Open(name string) (*File, error) {
	fd, err := openBeneath(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.Join(name), Err: err}
	}
	return newFile(fd, d.Join(name))
}

// sub opens it with O_PATH, or if it may be read in another way.
func (d *Dir) sub(name string, how uint64) (*Dir, error) {
	fd, err := openBeneath(d.fd, name, how|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if errors.Is(err, unix.EACCES) && how != unix.O_PATH {
		return d.sub(name, unix.O_PATH)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: d.Join(name), Err: err}
	}
	sub := &Dir{Path: d.Join(name), fd: fd, unread: how != unix.O_PATH}
	if d.real != "" {
		sub.real = path.Join(d.real, name)
	}
	return sub, nil
}

// Stat is what the kernel says of the directory now.
func (d *Dir) Stat() (st unix.Stat_t, err error) {
	if err := unix.Fstat(d.fd, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: d.Path, Err: err}
	}
	return st, nil
}

// Lstat is what the kernel says of a name in d, itself if it is a link, in one call
// and without opening it.
func (d *Dir) Lstat(name string) (st unix.Stat_t, err error) {
	if path.Base(name) != name || name == ".." {
		return st, fmt.Errorf("stat %s: is no name in one directory", d.Join(name))
	}
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, &os.PathError{Op: "stat", Path: d.Join(name), Err: err}
	}
	return st, nil
}

// A File is a file held open with O_PATH, with what the kernel said of it then.
type File struct {
	Path     string
	Stat     unix.Stat_t
	fd       int
	readable bool // by OpenEntry: it is no O_PATH
}

// Open opens a path that the administrator named and owns; links are followed.
func Open(name string) (*File, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return newFile(fd, name)
}

func newFile(fd int, name string) (*File, error) {
	f := &File{Path: name, fd: fd}
	if err := unix.Fstat(fd, &f.Stat); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return f, nil
}

// Fd is the O_PATH descriptor (by OpenEntry perhaps one that reads).
func (f *File) Fd() int { return f.fd }

// Close lets the file go.
func (f *File) Close() error { return unix.Close(f.fd) }

// Real is the file's absolute path without links, as the kernel knows it.
func (f *File) Real() (string, error) { return realPath(f.fd, f.Path) }

// Kind names the file's type in the words of a message.
func (f *File) Kind() string {
	switch f.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a regular file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a fifo"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// Regular is nil for a regular file, else a permanent fault that says what it is.
func (f *File) Regular() error {
	if f.Stat.Mode&unix.S_IFMT == unix.S_IFREG {
		return nil
	}
	return fault.Permanent("%s: is %s, not a regular file", f.Path, f.Kind())
}

// Reopen opens the very file that was judged, for reading or writing, with the
// rights of the calling thread. It never waits: a lease that the file's owner
// holds, which could keep root's open for 45 s, is a temporary fault at once.
func (f *File) Reopen(flags int) (*os.File, error) {
	fd, err := f.reopen(flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Path), nil
}

// reading: an open that neither waits nor takes a terminal.
const reading = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

func (f *File) reopen(flags int) (int, error) {
	fd, err := unix.Open(procfd(f.fd), flags|reading|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EAGAIN) {
		return -1, fault.Temporary("%s: its owner holds a lease on it (see /proc/locks)", f.Path)
	}
	if errors.Is(err, unix.ENOENT) {
		return -1, noProc(f.Path)
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: f.Path, Err: err}
	}
	return fd, nil
}

// Read is a regular file's text, at most limit bytes of it, opened as Reopen does.
// Who reads thousands of small ones saves half of the system calls by it.
func (f *File) Read(limit int) ([]byte, error) {
	fd := f.fd
	if !f.readable {
		var err error
		if fd, err = f.reopen(unix.O_RDONLY); err != nil {
			return nil, err
		}
		defer unix.Close(fd)
	}
	text := make([]byte, min(int64(limit), f.Stat.Size+1))
	for have := 0; ; {
		n, err := unix.Pread(fd, text[have:], int64(have))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: f.Path, Err: err}
		}
		have += n
		if have < len(text) || have == limit { // of a regular file less is given only at its end
			return text[:have], nil
		}
		text = append(text, make([]byte, min(limit-have, len(text)))...) // it grew meanwhile
	}
}

// Access asks whether the calling thread may read, write or execute the file
// (unix.X_OK), by its filesystem ids.
func (f *File) Access(mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, procfd(f.fd), mode, unix.AT_EACCESS)
}

// Same says whether both are one file: by device and inode, whatever the name.
func (f *File) Same(o *unix.Stat_t) bool {
	return f.Stat.Dev == o.Dev && f.Stat.Ino == o.Ino
}

// openBeneath is openat2 with a retry: EAGAIN means that something was renamed
// during the walk, which a hostile user can keep up for ever.
func openBeneath(dirfd int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 128 {
		fd, err := unix.Openat2(dirfd, name, &how)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		return fd, err
	}
	return -1, fmt.Errorf("renamed again and again: %w", unix.EAGAIN)
}

func realPath(fd int, name string) (string, error) {
	real, err := os.Readlink(procfd(fd))
	if errors.Is(err, unix.ENOENT) {
		return "", noProc(name)
	}
	return real, err
}

// noProc: the file is held, only the way to it is missing.
func noProc(name string) error {
	return fault.Temporary("%s: cannot be used without /proc (mount -t proc proc /proc)", name)
}

func procfd(fd int) string { return "/proc/thread-self/fd/" + strconv.Itoa(fd) }
