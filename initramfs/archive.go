package initramfs

import (
	"fmt"
	"io"

	"uml/fault"
)

// An archive is one of cpio's format newc
// (Documentation/driver-api/early-userspace/buffer-format.rst): for each file a header
// of 6 digits of magic and 13 fields of 8 hexadecimal digits, its name with a NUL, its
// content; name and content padded to a multiple of 4. No owner but root, no times.
// The first error stays.
type archive struct {
	w   io.Writer
	n   int64
	ino int
	err error
}

const (
	magic         = "070701"
	modeDirectory = 0o040755
	modeProgram   = 0o100755
)

func (a *archive) directory(name string)         { a.entry(name, modeDirectory, 2, nil) }
func (a *archive) file(name string, text []byte) { a.entry(name, modeProgram, 1, text) }

// end marks the end. The kernel takes what lies behind for another archive, if it
// begins at a multiple of 4.
func (a *archive) end() { a.entry("TRAILER!!!", 0, 1, nil) }

func (a *archive) entry(name string, mode, links int, text []byte) {
	a.ino++
	a.write(fmt.Appendf(nil, magic+"%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.ino, mode, 0, 0, links, 0, len(text), 0, 0, 0, 0, len(name)+1, 0))
	a.write(append([]byte(name), 0))
	a.pad()
	a.write(text)
	a.pad()
}

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	_, a.err = a.w.Write(b)
	a.n += int64(len(b))
}

func (a *archive) pad() { a.write(make([]byte, -a.n&3)) }

// Check says whether a file begins as such an archive does.
func Check(r io.Reader) error {
	b := make([]byte, len(magic))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != magic {
		return fault.Permanent("is there already, and no initrd of ours (remove it, or take another name)")
	}
	return nil
}
