package handle

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadProc is the whole of a file below /proc. Package os asks each file that it
// opens in eight more system calls whether it can be waited for, and reads a file
// without a size in small pieces.
func ReadProc(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var page [4096]byte
	for text := page[:0]; ; {
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			return bytes.Clone(text), nil
		}
		if text = text[:len(text)+n]; len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
	}
}

// HeadProc is the first page of one: a descriptor's fdinfo has what it is and its flock
// there (fs/proc/fd.c, fs/locks.c), and after that, if it is an epoll, a line for each
// that it watches, as many as a hostile process likes.
func HeadProc(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var page [4096]byte
	for {
		n, err := unix.Read(fd, page[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		}
		return bytes.Clone(page[:n]), nil
	}
}

// UIDs are those of the Uid line of a /proc/PID/status: real, effective, saved and of the
// filesystem; all -1 if there is none. Who owns /proc/PID itself is another question: a
// process that is not dumpable is root's there (proc_pid(5)).
func UIDs(status []byte) [4]int {
	ids := [4]int{-1, -1, -1, -1}
	for line := range bytes.Lines(status) {
		f := strings.Fields(string(line))
		if len(f) != 5 || f[0] != "Uid:" {
			continue
		}
		for i, s := range f[1:] {
			if n, err := strconv.Atoi(s); err == nil {
				ids[i] = n
			}
		}
	}
	return ids
}
