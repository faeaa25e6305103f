package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"uml/fault"
)

// dynamic takes the dynamic table, which ends at its first DT_NULL.
func (p *Program) dynamic(h elf.Prog64) error {
	if h.Filesz > maxTable {
		return fault.Permanent("has a dynamic table of %d bytes", h.Filesz)
	}
	table := make([]elf.Dyn64, h.Filesz/uint64(binary.Size(elf.Dyn64{})))
	if err := p.read(h.Off, table); err != nil {
		return err
	}
	end := slices.IndexFunc(table, func(d elf.Dyn64) bool { return elf.DynTag(d.Tag) == elf.DT_NULL })
	if end >= 0 {
		table = table[:end]
	}
	for _, d := range table {
		if elf.DynTag(d.Tag) == elf.DT_STRTAB {
			p.strings = d.Val
		}
	}
	for _, d := range table {
		if err := p.entry(d); err != nil {
			return err
		}
	}
	return nil
}

func (p *Program) entry(d elf.Dyn64) error {
	tag := elf.DynTag(d.Tag)
	if tag != elf.DT_NEEDED && tag != elf.DT_RUNPATH && tag != elf.DT_RPATH {
		return nil
	}
	s, err := p.stringAt(p.strings + d.Val)
	if err != nil {
		return err
	}
	switch tag {
	case elf.DT_NEEDED:
		p.Needed = append(p.Needed, s)
	case elf.DT_RUNPATH:
		p.RunPath = strings.Split(s, ":")
	case elf.DT_RPATH:
		p.RPath = strings.Split(s, ":")
	}
	return nil
}

// stringAt reads the string at an address of the program.
func (p *Program) stringAt(addr uint64) (string, error) {
	off, size := p.offset(addr)
	b := make([]byte, min(size, maxString))
	n, err := p.r.ReadAt(b, int64(off))
	if err != nil && err != io.EOF {
		return "", err
	}
	end := bytes.IndexByte(b[:n], 0)
	if end < 0 {
		return "", fault.Permanent("is damaged: no string at address %#x, where one should be", addr)
	}
	return string(b[:end]), nil
}

// offset is where in the file an address of the program lies, and how many bytes
// of its segment follow; 0 bytes if none does.
func (p *Program) offset(addr uint64) (off, size uint64) {
	for _, h := range p.loads {
		if addr >= h.Vaddr && addr-h.Vaddr < h.Filesz {
			return h.Off + (addr - h.Vaddr), h.Filesz - (addr - h.Vaddr)
		}
	}
	return 0, 0
}
