package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"uml/fault"
	"uml/settings"
)

// An image to be built: the names in user-mode Linux's own table and in that of
// all kernels, and what else its read-only data holds.
type image struct {
	own, drivers []string
	data         string
	stripped     bool // without sections
}

func (i image) build(t testing.TB) []byte {
	t.Helper()
	const base, body = 0x60000000, 64 + 56
	names := "\x00.uml.setup.init\x00.init.setup\x00.rodata\x00.shstrtab\x00"
	text := []byte("\x00")
	table := func(strs []string, size int) (b []byte) {
		for _, s := range strs {
			b = binary.LittleEndian.AppendUint64(b, base+body+uint64(len(text)))
			b = append(b, make([]byte, size-8)...)
			text = append(text, s+"\x00"...)
		}
		return b
	}
	own, drivers := table(i.own, paramSize), table(i.drivers, obsParamSize)
	text = append(text, i.data...)
	parts := [][]byte{text, own, drivers, []byte(names)}
	sections := []elf.Section64{{}}
	off := uint64(body)
	for n, name := range []string{".rodata", ".uml.setup.init", ".init.setup", ".shstrtab"} {
		sections = append(sections, elf.Section64{Name: uint32(strings.Index(names, name)), Type: uint32(elf.SHT_PROGBITS), Off: off, Size: uint64(len(parts[n]))})
		off += uint64(len(parts[n]))
	}
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machines[runtime.GOARCH]), Version: 1,
		Phoff: 64, Phentsize: 56, Phnum: 1, Shoff: off, Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: 4}
	if i.stripped {
		h.Shoff, h.Shnum = 0, 0
	}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	load := elf.Prog64{Type: uint32(elf.PT_LOAD), Vaddr: base, Filesz: off, Memsz: off}
	var b bytes.Buffer
	for _, part := range []any{h, load, bytes.Join(parts, nil), sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}

func TestInspect(t *testing.T) {
	own := []string{"uml_dir=", "mem="}
	const other = "is a program, but not a user-mode Linux kernel (one is built with ARCH=um)"
	for _, c := range []struct {
		name    string
		image   image
		want    Image
		wantErr string
	}{
		{"both drivers", image{own: own, drivers: []string{"ubd", "vec", "eth"}}, Image{Vector: true, Legacy: true}, ""},
		{"vector", image{own: own, drivers: []string{"vec"}, data: "\x00eth\x00tuntap\x00"}, Image{Vector: true}, ""},
		{"legacy", image{own: own, drivers: []string{"eth"}, data: "\x00vec\x00"}, Image{Legacy: true}, ""},
		{"names that begin alike", image{own: own, drivers: []string{"vector", "ether", "vec="}}, Image{}, ""},
		{"no network", image{own: own}, Image{}, ""},
		{"noreboot", image{own: append(own, "noreboot")}, Image{NoReboot: true}, ""},
		{"seccomp", image{own: append(own, "seccomp=")}, Image{Seccomp: true}, ""},
		{"not UML", image{drivers: []string{"vec"}}, Image{}, other},
		{"stripped", image{own: append(own, "noreboot", "seccomp="), drivers: []string{"vec", "eth"}, stripped: true}, Image{Vector: true, Legacy: true, NoReboot: true, Seccomp: true}, ""},
		{"stripped, no network", image{own: own, stripped: true, data: "vector\x00veth\x00"}, Image{}, ""},
		{"stripped, not UML", image{drivers: []string{"vec", "eth"}, stripped: true}, Image{}, other},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Inspect(bytes.NewReader(c.image.build(t)))
			if c.wantErr != "" {
				if err == nil || err.Error() != c.wantErr || fault.Code(err) != fault.MustMend {
					t.Errorf("got %v (%d), want %s (%d)", err, fault.Code(err), c.wantErr, fault.MustMend)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Program = nil; *got != c.want {
				t.Errorf("got %+v, want %+v", *got, c.want)
			}
		})
	}
}

// The file's kind is judged in the words of a kernel image. Its section headers
// are its end: a copy that was cut short is found, too.
func TestInspectNoImage(t *testing.T) {
	whole := image{own: []string{"uml_dir="}}.build(t)
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "is empty, not a kernel image"},
		{"script", "#!/bin/sh\n", "is a script (#!/bin/sh), not a kernel image"},
		{"cut short", string(whole[:len(whole)-1]), "is cut short (copy it again)"},
	} {
		_, err := Inspect(strings.NewReader(c.file))
		if message(err) != c.want || fault.Code(err) != fault.MustMend {
			t.Errorf("%s: got %v (%d), want %s", c.name, err, fault.Code(err), c.want)
		}
	}
}

func TestTransport(t *testing.T) {
	const auto, vector, tuntap, fd = settings.Auto, settings.Vector, settings.Tuntap, settings.FD
	own := []string{"uml_dir="}
	both := image{own: own, drivers: []string{"vec", "eth"}, data: "tuntap\x00"}
	legacy := image{own: own, drivers: []string{"eth"}, data: "tuntap\x00"}
	newer := image{own: own, drivers: []string{"vec"}}
	slip := image{own: own, drivers: []string{"eth"}, data: "slip\x00"}
	const noVector = "has no vector driver (set transport to auto, or build it with CONFIG_UML_NET_VECTOR)"
	const noTuntap = "has no tuntap driver (set transport to auto; from 6.16 on there is only the vector driver)"
	const noFD = "has no vector driver that inherits a descriptor (set transport to auto)"
	inherits := image{own: own, drivers: []string{"vec"}, data: "\x013fd open: bad or missing fd argument\x00"}
	const none = "has no driver for a TAP (set net to none, or build it with CONFIG_UML_NET_VECTOR)"
	for _, c := range []struct {
		name       string
		image      image
		want, from settings.Transport
		wantErr    string
	}{
		{"both", both, vector, auto, ""},
		{"both", both, vector, vector, ""},
		{"both", both, tuntap, tuntap, ""},
		{"legacy", legacy, tuntap, auto, ""},
		{"legacy", legacy, 0, vector, noVector},
		{"legacy", legacy, tuntap, tuntap, ""},
		{"newer", newer, vector, auto, ""},
		{"newer", newer, vector, vector, ""},
		{"newer", newer, 0, tuntap, noTuntap},
		{"inherits", inherits, fd, fd, ""},
		{"inherits", inherits, vector, auto, ""},
		{"newer", newer, 0, fd, noFD},
		{"legacy", legacy, 0, fd, noFD},
		{"legacy without tuntap", slip, 0, auto, none},
		{"legacy without tuntap", slip, 0, tuntap, noTuntap},
	} {
		t.Run(c.name+" "+c.from.String(), func(t *testing.T) {
			i, err := Inspect(bytes.NewReader(c.image.build(t)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := i.Transport(c.from)
			if text := message(err); got != c.want || text != c.wantErr {
				t.Errorf("got %v, %s, want %v, %s", got, text, c.want, c.wantErr)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzInspect(f *testing.F) {
	f.Add(image{own: []string{"uml_dir=", "noreboot"}, drivers: []string{"vec", "eth"}, data: "tuntap\x00"}.build(f))
	f.Add(image{own: []string{"uml_dir="}, stripped: true}.build(f))
	head := make([]byte, 8192)
	if _, err := openDebian(f).ReadAt(head, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Inspect(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, want := range []settings.Transport{settings.Auto, settings.Vector, settings.Tuntap, settings.FD} {
			got, err := i.Transport(want)
			if err == nil && want != settings.Auto && got != want {
				t.Errorf("Transport(%v): got %v", want, got)
			}
		}
	})
}
