package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"testing"
)

// A spec is a small ELF file to be built: one segment that holds all of it.
type spec struct {
	interp  string
	needed  []string
	runpath string
	rpath   string
	change  func(h *elf.Header64, progs []elf.Prog64)
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}

func (s spec) build(t testing.TB) []byte {
	t.Helper()
	const heads, dynamic = 64, 64 + 3*56
	text := []byte{0}
	add := func(v string) uint64 {
		text = append(text, v+"\x00"...)
		return uint64(len(text) - len(v) - 1)
	}
	var table []elf.Dyn64
	for _, n := range s.needed {
		table = append(table, elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: add(n)})
	}
	if s.runpath != "" {
		table = append(table, elf.Dyn64{Tag: int64(elf.DT_RUNPATH), Val: add(s.runpath)})
	}
	if s.rpath != "" {
		table = append(table, elf.Dyn64{Tag: int64(elf.DT_RPATH), Val: add(s.rpath)})
	}
	interp := add(s.interp)
	start := uint64(dynamic + 16*(len(table)+2))
	table = append(table, elf.Dyn64{Tag: int64(elf.DT_STRTAB), Val: start}, elf.Dyn64{})
	size := start + uint64(len(text))
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machines[runtime.GOARCH]), Version: 1, Phoff: heads, Phentsize: 56, Phnum: 3}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	progs := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Filesz: size, Memsz: size},
		{Type: uint32(elf.PT_DYNAMIC), Off: dynamic, Filesz: start - dynamic},
		{Type: uint32(elf.PT_INTERP), Off: start + interp, Filesz: uint64(len(s.interp) + 1)},
	}
	if s.interp == "" {
		progs[2].Type = uint32(elf.PT_NULL)
	}
	if s.change != nil {
		s.change(&h, progs)
	}
	var b bytes.Buffer
	for _, part := range []any{h, progs, table, text} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}
