package inside

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// hole is the least of zeros that is left out: a block of the filesystems that are made.
const hole = 4096

var zeros [hole]byte

// file makes a regular file, without its blocks of zeros: archives of sparse files come
// with their holes filled in, by package tar or by who made them.
//
// A system call of a guest costs its host a dozen: the usual file takes four.
func (p *unpacker) file(h *tar.Header, name string, content io.Reader) error {
	if h.Size > p.room {
		return fault.Permanent("is %d bytes, and the filesystem %d in all (make it larger: --size)", h.Size, p.room)
	}
	mode := uint32(h.Mode) & 0o7777
	var fd int
	err := p.placed(name, func() (err error) {
		fd, err = unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return err
	}
	err = p.fill(fd, h, content)
	if err == nil && (h.Uid != 0 || h.Gid != 0) { // which takes away the bits of set-uid
		err = errors.Join(unix.Fchown(fd, h.Uid, h.Gid), unix.Fchmod(fd, mode))
	}
	return errors.Join(err, unix.Close(fd))
}

func (p *unpacker) fill(fd int, h *tar.Header, content io.Reader) error {
	at, written := int64(0), int64(0)
	for at < h.Size {
		n, err := io.ReadFull(content, p.buf[:min(int64(len(p.buf)), h.Size-at)])
		if err != nil {
			return fault.Permanent("the archive ends in it")
		}
		if written, err = writeData(fd, p.buf[:n], at, written); err != nil {
			return err
		}
		at += int64(n)
	}
	if written == at {
		return nil
	}
	return unix.Ftruncate(fd, at) // it ends in a hole
}

// writeData writes what is no block of zeros, and returns where what is written ends. b
// begins at a multiple of a block.
func writeData(fd int, b []byte, at, written int64) (int64, error) {
	for begin := 0; begin < len(b); {
		if isHole(b[begin:]) {
			begin += hole
			continue
		}
		end := begin + hole
		for end < len(b) && !isHole(b[end:]) {
			end += hole
		}
		end = min(end, len(b))
		for begin < end {
			n, err := unix.Pwrite(fd, b[begin:end], at+int64(begin))
			if err != nil {
				return written, err
			}
			begin += n
		}
		written = at + int64(end)
	}
	return written, nil
}

func isHole(b []byte) bool { return len(b) >= hole && bytes.Equal(b[:hole], zeros[:]) }
