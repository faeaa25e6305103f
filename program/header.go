package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"uml/fault"
)

// Bounds of what a hostile file can make us read; a kernel has about 10 program
// headers and 50 sections.
const (
	maxHeaders  = 128
	maxSections = 1024
	maxTable    = 64 << 10 // bytes of a section or segment that is read whole
	maxString   = 4096     // PATH_MAX
)

// errForeign marks a program of another architecture, which the dynamic linker
// passes over in its search.
var errForeign = errors.New("for another architecture")

type foreign struct{ error }

func (foreign) Is(target error) bool { return target == errForeign }

var errCut = fault.Permanent("is cut short (copy it again)")

// readHeader takes a file's first 64 bytes, or says why it is no program of this
// host. The noun is what it should have been.
func readHeader(r io.ReaderAt, noun string) (h elf.Header64, err error) {
	first := make([]byte, binary.Size(h))
	n, err := r.ReadAt(first, 0)
	if err != nil && err != io.EOF {
		return h, err
	}
	if err := checkIdent(first[:n], noun); err != nil {
		return h, err
	}
	if n < len(first) {
		return h, errCut
	}
	if _, err := binary.Decode(first, binary.LittleEndian, &h); err != nil {
		return h, err
	}
	return h, checkHeader(h, noun)
}

// checkIdent looks at what tells files of all kinds apart.
func checkIdent(b []byte, noun string) error {
	switch {
	case len(b) == 0:
		return fault.Permanent("is empty, not a %s", noun)
	case bytes.HasPrefix(b, []byte("#!")):
		line, _, _ := strings.Cut(string(b), "\n")
		return fault.Permanent("is a script (%s), not a %s", line, noun)
	case !bytes.HasPrefix(b, []byte(elf.ELFMAG)):
		return fault.Permanent("is not an ELF file, so not a %s", noun)
	case len(b) < elf.EI_NIDENT+4:
		return errCut
	}
	// The machine stands at the same place in both classes.
	machine := elf.Machine(binary.LittleEndian.Uint16(b[elf.EI_NIDENT+2:]))
	if elf.Data(b[elf.EI_DATA]) == elf.ELFDATA2MSB {
		machine = elf.Machine(binary.BigEndian.Uint16(b[elf.EI_NIDENT+2:]))
	}
	got := architecture(machine, elf.Class(b[elf.EI_CLASS]), elf.Data(b[elf.EI_DATA]))
	if got != runtime.GOARCH {
		return fault.Permanent("%w", foreign{fmt.Errorf("is a program for %s, and this host is %s", got, runtime.GOARCH)})
	}
	return nil
}

// architecture is a program's, in Go's words where Go has any. Only 64 bit
// little-endian hosts are known: user-mode Linux runs on no other but i386.
func architecture(m elf.Machine, c elf.Class, d elf.Data) string {
	if d == elf.ELFDATA2LSB && c == elf.ELFCLASS64 {
		switch m {
		case elf.EM_X86_64:
			return "amd64"
		case elf.EM_AARCH64:
			return "arm64"
		case elf.EM_RISCV:
			return "riscv64"
		}
	}
	switch {
	case m == elf.EM_386:
		return "i386"
	case m == elf.EM_X86_64 && c == elf.ELFCLASS32:
		return "x32"
	}
	return fmt.Sprintf("%v, %v, %v", m, c, d)
}

func checkHeader(h elf.Header64, noun string) error {
	switch t := elf.Type(h.Type); t {
	case elf.ET_EXEC, elf.ET_DYN:
	case elf.ET_REL:
		return fault.Permanent("is an object file that was not linked yet, not a %s", noun)
	case elf.ET_CORE:
		return fault.Permanent("is a core dump, not a %s", noun)
	default:
		return fault.Permanent("is an ELF file of type %d, not a %s", t, noun)
	}
	if int(h.Phentsize) != binary.Size(elf.Prog64{}) || h.Phnum == 0 || h.Phnum > maxHeaders {
		return fault.Permanent("has %d program headers of %d bytes, so the kernel cannot run it", h.Phnum, h.Phentsize)
	}
	return nil
}
