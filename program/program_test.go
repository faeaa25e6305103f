package program

import (
	"bytes"
	"debug/elf"
	"math"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"

	"uml/fault"
)

func TestInspect(t *testing.T) {
	b := spec{interp: "/lib/ld.so", needed: []string{"liba.so", "libb.so"}, runpath: "/x:$ORIGIN", rpath: "/y"}.build(t)
	p, err := Inspect(bytes.NewReader(b), "program")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"Interp", []string{p.Interp}, []string{"/lib/ld.so"}},
		{"Needed", p.Needed, []string{"liba.so", "libb.so"}},
		{"RunPath", p.RunPath, []string{"/x", "$ORIGIN"}},
		{"RPath", p.RPath, []string{"/y"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestInspectFaults(t *testing.T) {
	headers := func(change func(*elf.Header64, []elf.Prog64)) []byte { return spec{change: change}.build(t) }
	good := spec{}.build(t)
	dead := make([]byte, 200)
	copy(dead, elf.ELFMAG)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "is empty, not a program"},
		{"script", []byte("#!/bin/sh -e\nexit\n"), "is a script (#!/bin/sh -e), not a program"},
		{"text", []byte("hello"), "is not an ELF file, so not a program"},
		{"magic only", good[:4], "is cut short (copy it again)"},
		{"half a header", good[:40], "is cut short (copy it again)"},
		{"header only", good[:64], "is cut short (copy it again)"},
		{"last byte lost", good[:len(good)-1], "is cut short (copy it again)"},
		{"zeros", dead, "is a program for EM_NONE, ELFCLASSNONE, ELFDATANONE, and this host is " + runtime.GOARCH},
		{"i386", headers(func(h *elf.Header64, _ []elf.Prog64) {
			h.Ident[elf.EI_CLASS], h.Machine = byte(elf.ELFCLASS32), uint16(elf.EM_386)
		}), "is a program for i386, and this host is " + runtime.GOARCH},
		{"x32", headers(func(h *elf.Header64, _ []elf.Prog64) {
			h.Ident[elf.EI_CLASS], h.Machine = byte(elf.ELFCLASS32), uint16(elf.EM_X86_64)
		}), "is a program for x32, and this host is " + runtime.GOARCH},
		{"big endian", headers(func(h *elf.Header64, _ []elf.Prog64) {
			h.Ident[elf.EI_DATA], h.Machine = byte(elf.ELFDATA2MSB), uint16(elf.EM_S390)<<8
		}), "is a program for EM_S390, ELFCLASS64, ELFDATA2MSB, and this host is " + runtime.GOARCH},
		{"object", headers(func(h *elf.Header64, _ []elf.Prog64) { h.Type = uint16(elf.ET_REL) }), "is an object file that was not linked yet, not a program"},
		{"core", headers(func(h *elf.Header64, _ []elf.Prog64) { h.Type = uint16(elf.ET_CORE) }), "is a core dump, not a program"},
		{"type 77", headers(func(h *elf.Header64, _ []elf.Prog64) { h.Type = 77 }), "is an ELF file of type 77, not a program"},
		{"no headers", headers(func(h *elf.Header64, _ []elf.Prog64) { h.Phnum = 0 }), "has 0 program headers of 56 bytes, so the kernel cannot run it"},
		{"many headers", headers(func(h *elf.Header64, _ []elf.Prog64) { h.Phnum = math.MaxUint16 }), "has 65535 program headers of 56 bytes, so the kernel cannot run it"},
		{"headers far away", headers(func(h *elf.Header64, _ []elf.Prog64) { h.Phoff = math.MaxUint64 }), "is cut short (copy it again)"},
		{"segment far away", headers(func(_ *elf.Header64, p []elf.Prog64) { p[0].Off = math.MaxUint64 }), "is cut short (copy it again)"},
		{"huge table", headers(func(_ *elf.Header64, p []elf.Prog64) { p[1].Filesz = 1 << 40 }), "has a dynamic table of 1099511627776 bytes"},
		{"huge interp", spec{interp: "/x", change: func(_ *elf.Header64, p []elf.Prog64) { p[2].Filesz = 1 << 40 }}.build(t), "names a dynamic linker of 1099511627776 bytes"},
		{"strings nowhere", spec{needed: []string{"x"}, change: func(_ *elf.Header64, p []elf.Prog64) { p[0].Vaddr = 1 << 40 }}.build(t), "is damaged: no string at address 0x119, where one should be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Inspect(bytes.NewReader(c.file), "program")
			if err == nil || err.Error() != c.want || fault.Code(err) != fault.MustMend {
				t.Errorf("got %v (%d), want %s (%d)", err, fault.Code(err), c.want, fault.MustMend)
			}
		})
	}
}

// A read that fails says nothing of the file.
func TestInspectReadError(t *testing.T) {
	closed, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := Inspect(closed, "program"); fault.Code(err) != fault.MayPass {
		t.Errorf("got %v (%d), want %d", err, fault.Code(err), fault.MayPass)
	}
}

// What is searched for may lie across the chunks of the search, and at its end.
func TestContains(t *testing.T) {
	const want = "tuntap"
	for _, at := range []int{0, chunk - len(want), chunk - 3, chunk, 2*chunk - 9, 2*chunk - 3, 2*chunk + 1, 3*chunk - len(want)} {
		b := make([]byte, 3*chunk)
		copy(b[at:], want)
		p := &Program{r: bytes.NewReader(b), loads: []elf.Prog64{{Filesz: uint64(len(b))}}}
		if got, err := p.Contains(want, ".rodata"); !got || err != nil {
			t.Errorf("at %d: got %v, %v", at, got, err)
		}
		b[at]++
		if got, err := p.Contains(want, ".rodata"); got || err != nil {
			t.Errorf("not at %d: got %v, %v", at, got, err)
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(spec{}.build(f))
	f.Add(spec{interp: "/lib/ld.so", needed: []string{"a"}, runpath: "/x", rpath: "/y"}.build(f))
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self[:8192])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Inspect(bytes.NewReader(b), "program")
		if err != nil {
			return
		}
		p.Section(".rodata")
		p.Contains("tuntap", ".rodata")
		p.HasAt(uint64(len(b)), "x")
		for _, name := range append(p.Needed, p.Interp) {
			for _, at := range candidates(name, object{p, p.RPath}) {
				if at != path.Clean(at) || at[0] != '/' || strings.Contains(path.Dir(at), "$") && !path.IsAbs(name) {
					t.Errorf("%q: is looked for at %q", name, at)
				}
			}
		}
	})
}
