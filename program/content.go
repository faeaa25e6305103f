package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"

	"uml/fault"
)

// Section is the contents of a small section, nil if there is none of the name.
func (p *Program) Section(name string) ([]byte, error) {
	s, err := p.section(name)
	if err != nil || s.Type != uint32(elf.SHT_PROGBITS) {
		return nil, err
	}
	if s.Size > maxTable {
		return nil, fault.Permanent("has a section %s of %d bytes", name, s.Size)
	}
	b := make([]byte, s.Size)
	return b, p.readAt(b, s.Off)
}

// section finds a section by name; the zero one (SHT_NULL) if there is none.
func (p *Program) section(name string) (elf.Section64, error) {
	all, names, err := p.sections()
	if err != nil {
		return elf.Section64{}, err
	}
	for _, s := range all {
		if int64(s.Name) < int64(len(names)) && bytes.HasPrefix(names[s.Name:], append([]byte(name), 0)) {
			return s, nil
		}
	}
	return elf.Section64{}, nil
}

// sections reads all section headers and the table of their names.
func (p *Program) sections() (all []elf.Section64, names []byte, err error) {
	if p.header.Shoff == 0 || p.header.Shnum == 0 {
		return nil, nil, nil // sstrip(1)
	}
	if int(p.header.Shentsize) != binary.Size(elf.Section64{}) || p.header.Shnum > maxSections || p.header.Shstrndx >= p.header.Shnum {
		return nil, nil, fault.Permanent("is damaged: %d section headers of %d bytes", p.header.Shnum, p.header.Shentsize)
	}
	all = make([]elf.Section64, p.header.Shnum)
	if err := p.read(p.header.Shoff, all); err != nil {
		return nil, nil, err
	}
	n := all[p.header.Shstrndx]
	if n.Size > maxTable {
		return nil, nil, fault.Permanent("is damaged: section names of %d bytes", n.Size)
	}
	names = make([]byte, n.Size)
	return all, names, p.readAt(names, n.Off)
}

// HasAt says whether the bytes at an address of the program are these. It is
// false where the file holds nothing: an address that only a relocation fills in.
func (p *Program) HasAt(addr uint64, want string) (bool, error) {
	off, size := p.offset(addr)
	if size < uint64(len(want)) {
		return false, nil
	}
	if off < p.pageAt || off+uint64(len(want)) > p.pageAt+uint64(len(p.page)) {
		if err := p.turn(off, size); err != nil {
			return false, err
		}
	}
	return bytes.HasPrefix(p.page[off-p.pageAt:], []byte(want)), nil
}

// turn reads on from off. The names in a table lie side by side in the file, so
// that a page of it saves a hundred small reads.
func (p *Program) turn(off, size uint64) error {
	if p.page == nil {
		p.page = make([]byte, maxString)
	}
	b := p.page[:min(size, maxString)]
	n, err := p.r.ReadAt(b, int64(off))
	p.page, p.pageAt = b[:n], off
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Mapped says whether the file holds anything for an address.
func (p *Program) Mapped(addr uint64) bool {
	_, size := p.offset(addr)
	return size > 0
}

// Chunks of a search: small enough for the processor's cache. A kernel loads 10
// to 30 MB.
const (
	chunk     = 128 << 10
	maxSearch = 64 << 20
)

// Contains searches what the program loads, or of that one section if it is
// there. It costs a millisecond for some 5 MB.
func (p *Program) Contains(want, section string) (bool, error) {
	at, err := p.find(want, section)
	return at >= 0, err
}

// Word is what follows the text before, up to a space or NUL; "" if it is nowhere in
// what the program loads.
func (p *Program) Word(before string) (string, error) {
	at, err := p.find(before, "")
	if at < 0 || err != nil {
		return "", err
	}
	b := make([]byte, maxString)
	n, err := p.r.ReadAt(b, at+int64(len(before)))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	b = b[:n]
	if end := bytes.IndexAny(b, " \x00"); end >= 0 {
		b = b[:end]
	}
	return string(b), nil
}

// find is where in the file a text lies, -1 if nowhere.
func (p *Program) find(want, section string) (at int64, err error) {
	s, err := p.section(section)
	if err != nil {
		return -1, err
	}
	if s.Type == uint32(elf.SHT_PROGBITS) {
		return p.search(want, s.Off, s.Size)
	}
	for _, h := range p.loads {
		if at, err := p.search(want, h.Off, h.Filesz); at >= 0 || err != nil {
			return at, err
		}
	}
	return -1, nil
}

func (p *Program) search(want string, off, size uint64) (at int64, err error) {
	if int64(off) < 0 {
		return -1, errCut
	}
	r := io.NewSectionReader(p.r, int64(off), int64(min(size, maxSearch)))
	b := make([]byte, chunk)
	at = int64(off) // of b
	kept := 0       // the end of one chunk, before the next: want may lie across
	for {
		n, err := io.ReadFull(r, b[kept:])
		if i := bytes.Index(b[:kept+n], []byte(want)); i >= 0 {
			return at + int64(i), nil
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return -1, nil
		}
		if err != nil {
			return -1, err
		}
		kept = copy(b, b[len(b)-len(want):])
		at += int64(len(b) - kept)
	}
}
