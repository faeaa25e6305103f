package inside

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
)

// hole is the least of zeros that is left out: a block of the filesystems that are made.
const hole = 4096

var zeros [hole]byte

// file writes a regular file, without its blocks of zeros: archives of sparse files come
// with their holes filled in, by package tar or by who made them.
func (p *unpacker) file(h *tar.Header, name string, content io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	for {
		n, err := io.ReadFull(content, p.buf)
		if err := writeData(f, p.buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if at != h.Size {
		return io.ErrUnexpectedEOF
	}
	if err := f.Truncate(at); err != nil { // it may end in a hole
		return err
	}
	return f.Close()
}

// writeData writes what is no block of zeros. b begins at a multiple of a block.
func writeData(f *os.File, b []byte, at int64) error {
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
		if _, err := f.WriteAt(b[begin:end], at+int64(begin)); err != nil {
			return err
		}
		begin = end
	}
	return nil
}

func isHole(b []byte) bool { return len(b) >= hole && bytes.Equal(b[:hole], zeros[:]) }
