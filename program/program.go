// Package program judges an executable by its ELF headers: whether this host can
// run it, and which files it needs beside it. It starts nothing (ldd runs the
// program that it is asked about) and reads little: the headers and the dynamic
// table, as the kernel and the dynamic linker do, whatever the sections say.
//
// The file may be hostile. debug/elf reads a file as large as its headers claim
// and unpacks compressed sections, so only its types are used here; everything
// read is bounded.
//
// It does not promise that the program works: an unsupported instruction or a
// library that is too old is found by running it.
package program

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"

	"uml/fault"
)

// A Program is an executable or a shared library. It reads on from the file
// that it was made of, which must stay open as long, and is not for use by
// several goroutines at once.
type Program struct {
	Interp  string   // the dynamic linker (PT_INTERP); "": linked statically
	Needed  []string // libraries by name (DT_NEEDED)
	RunPath []string // directories for them (DT_RUNPATH)
	RPath   []string // the older DT_RPATH, which holds for their libraries too

	r       io.ReaderAt
	header  elf.Header64
	loads   []elf.Prog64 // PT_LOAD
	strings uint64       // address of the dynamic string table
	page    []byte       // what HasAt read last, from pageAt in the file
	pageAt  uint64
}

// Inspect reads the headers of the file r. Every judgement is a permanent fault in
// words that follow the file's name, noun being what the file should be ("kernel
// image"); a failed read stays what it was.
func Inspect(r io.ReaderAt, noun string) (*Program, error) {
	p := &Program{r: r}
	var err error
	if p.header, err = readHeader(r, noun); err != nil {
		return nil, err
	}
	heads := make([]elf.Prog64, p.header.Phnum)
	if err := p.read(p.header.Phoff, heads); err != nil {
		return nil, err
	}
	p.loads = slices.DeleteFunc(slices.Clone(heads), func(h elf.Prog64) bool { return elf.ProgType(h.Type) != elf.PT_LOAD })
	if err := p.whole(); err != nil {
		return nil, err
	}
	for _, h := range heads {
		if err := p.take(h); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Library says whether p can be loaded by another program.
func (p *Program) Library() bool { return elf.Type(p.header.Type) == elf.ET_DYN }

func (p *Program) take(h elf.Prog64) (err error) {
	switch elf.ProgType(h.Type) {
	case elf.PT_INTERP:
		if h.Filesz > maxString {
			return fault.Permanent("names a dynamic linker of %d bytes", h.Filesz)
		}
		name := make([]byte, h.Filesz)
		err = p.readAt(name, h.Off)
		p.Interp, _, _ = strings.Cut(string(name), "\x00")
	case elf.PT_DYNAMIC:
		err = p.dynamic(h)
	}
	return err
}

// whole finds a file that was copied in part: the last byte of each segment
// must be there.
func (p *Program) whole() error {
	for _, h := range p.loads {
		if h.Filesz == 0 {
			continue
		}
		if h.Off+h.Filesz < h.Off {
			return errCut
		}
		if err := p.readAt(make([]byte, 1), h.Off+h.Filesz-1); err != nil {
			return err
		}
	}
	return nil
}

// read fills in a structure of the file, or a slice of them.
func (p *Program) read(off uint64, to any) error {
	b := make([]byte, binary.Size(to))
	if err := p.readAt(b, off); err != nil {
		return err
	}
	_, err := binary.Decode(b, binary.LittleEndian, to)
	return err
}

func (p *Program) readAt(b []byte, off uint64) error {
	if int64(off) < 0 {
		return errCut
	}
	n, err := p.r.ReadAt(b, int64(off))
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) || err == nil {
		return errCut
	}
	return err
}
