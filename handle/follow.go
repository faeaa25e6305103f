package handle

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// maxLinks is the kernel's own bound (MAXSYMLINKS).
const maxLinks = 40

// Follow opens a directory that the administrator named. Links are followed where only
// root can have put them, and nowhere else: one in a jail may lead anywhere.
func Follow(name string) (*Dir, error) {
	rest := name
	if !path.IsAbs(rest) {
		here, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		rest = here + "/" + rest
	}
	fd, err := openRoot()
	for links := 0; err == nil && rest != ""; {
		var part, to string
		part, rest, _ = strings.Cut(rest, "/")
		if part == "" {
			continue
		}
		if to, err = rootsLink(fd, part, name); err == nil && to != "" {
			if links++; links > maxLinks {
				err = unix.ELOOP
				continue
			}
			rest = to + "/" + rest
			if path.IsAbs(to) {
				unix.Close(fd)
				fd, err = openRoot()
			}
			continue
		}
		var next int
		if err == nil {
			next, err = unix.Openat(fd, part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
		unix.Close(fd)
		fd = next
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = &os.PathError{Op: "open directory", Path: name, Err: errno}
	}
	if err != nil {
		return nil, err
	}
	return Given(name, fd), nil
}

func openRoot() (int, error) {
	return unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// rootsLink is where a link in a directory leads to, "" if part is none.
func rootsLink(dir int, part, name string) (string, error) {
	var st, in unix.Stat_t
	if err := unix.Fstatat(dir, part, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	if err := unix.Fstat(dir, &in); err != nil {
		return "", err
	}
	if st.Uid != 0 || in.Uid != 0 || in.Mode&0o022 != 0 && in.Mode&unix.S_ISVTX == 0 {
		return "", fault.NotRoots.Permanent("%s: leads over the symbolic link %q, which others than root can have made", name, part)
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, part, b)
	return string(b[:max(n, 0)]), err
}
