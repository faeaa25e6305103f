package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const mib = 1 << 20

func header(v Version) *Header {
	h := &Header{Version: v, Backing: "/base", MTime: 1700000000, Size: mib, Align: Page, order: binary.BigEndian}
	if v < V3 {
		h.Align = Sector
	}
	if v == V1 {
		h.order = native()
	}
	return h
}

// Where things lie, by hand from cow_sizes of arch/um/drivers/cow_user.c.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		version          Version
		size             int64
		bitmap, len, dat int64
	}{
		{V1, mib, 280, 256, 1024},
		{V1, mib + 4096 - 512, 280, 256, 1024}, // seven sectors without a bit
		{V2, mib, 4120, 256, 4608},
		{V3, mib, 8192, 256, 12288},
		{V3, mib + 1, 8192, 257, 12288},
		{V3, 100 << 30, 8192, 25 << 20, 8192 + 25<<20},
		{Broken, mib, 8192, 256, 12288},
	} {
		h := header(c.version)
		h.Size = c.size
		if h.BitmapAt() != c.bitmap || h.BitmapLen() != c.len || h.DataAt() != c.dat {
			t.Errorf("version %v, %d: got %d, %d, %d, want %d, %d, %d", c.version, c.size, h.BitmapAt(), h.BitmapLen(), h.DataAt(), c.bitmap, c.len, c.dat)
		}
	}
}

func TestParse(t *testing.T) {
	for v := V1; v <= Broken; v++ {
		for _, merging := range []bool{false, true} {
			want := header(v)
			want.Merging = merging
			got, err := Parse(want.marshal())
			if err != nil || *got != *want {
				t.Errorf("version %v: got %+v, %v, want %+v", v, got, err, want)
			}
		}
	}
	swapped := header(V1)
	swapped.order = binary.BigEndian
	if got, err := Parse(swapped.marshal()); err != nil || *got != *swapped {
		t.Errorf("version 1 of another machine: got %+v, %v", got, err)
	}
}

func TestParseDamaged(t *testing.T) {
	put32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], v); return b }
	}
	put64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint64(b[at:], v); return b }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"empty", func([]byte) []byte { return nil }, "is no COW file"},
		{"magic", put32(0, 0x51464900), "is no COW file"},
		{"short", func(b []byte) []byte { return b[:100] }, "is a COW file that ends in its header"},
		{"version 0", put32(4, 0), "has a damaged COW header: version 0"},
		{"version 4", put32(4, 4), "has a damaged COW header: version 4"},
		{"order", func(b []byte) []byte { copy(b, "MOOO\x03\x00\x00\x00"); return b }, "has a damaged COW header: version 3 in the byte order of version 1"},
		{"size 0", put64(12, 0), "has a damaged COW header: a disc of 0 bytes"},
		{"size 2^63", put64(12, 1<<63), "has a damaged COW header: a disc of 9223372036854775808 bytes"},
		{"size 2^63-1", put64(12, math.MaxInt64), "has a damaged COW header: a disc of 9223372036854775807 bytes, more than the kernel can have"},
		{"size 9T", put64(12, 9<<40), "has a damaged COW header: a disc of 9895604649984 bytes, more than the kernel can have"},
		{"sector", put32(20, 4096), "has a damaged COW header: sectors of 4096 bytes, not 512"},
		{"align 0", put32(24, 0), "has a damaged COW header: an alignment of 0 bytes"},
		{"align 4095", put32(24, 4095), "has a damaged COW header: an alignment of 4095 bytes"},
		{"align 2^31", put32(24, 1<<31), "has a damaged COW header: an alignment of 2147483648 bytes"},
		{"format", put32(28, 1), "has a damaged COW header: format 1, not 0"},
		{"no name", func(b []byte) []byte { clear(b[33:4128]); b[32] = 0; b[33] = 'x'; return b }, "has a damaged COW header: no name of a backing file that fits it"},
		{"endless name", func(b []byte) []byte { copy(b[32:], strings.Repeat("../", 1366)); return b }, "has a damaged COW header: no name of a backing file that fits it"},
	} {
		h, err := Parse(c.change(header(V3).marshal()))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %+v, %v, want %s", c.name, h, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for v := V1; v <= Broken; v++ {
		f.Add(header(v).marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err != nil {
			return
		}
		if h.Size <= 0 || h.BitmapAt() < 280 || h.BitmapLen() < 0 || h.DataAt() < h.BitmapAt()+h.BitmapLen() || h.DataAt() > maxData || h.Backing == "" {
			t.Fatalf("%+v", h)
		}
		again, err := Parse(h.marshal())
		if h.Version.CheckName(h.Backing) != nil {
			return // no room for both the name and what is behind it
		}
		if err != nil || *again != *h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

// What uml-utilities make we read, and what we make is theirs byte for byte.
func TestLikeMkcow(t *testing.T) {
	dir := t.TempDir()
	base, theirs, ours := filepath.Join(dir, "base"), filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	if err := errors.Join(os.WriteFile(base, nil, 0o600), os.Truncate(base, 5*mib)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("uml_mkcow", theirs, base).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	st, err := os.Stat(base)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Create(f, V3, base, 5*mib, st.ModTime().Unix()); err != nil {
		t.Fatal(err)
	}
	a, err1 := os.ReadFile(theirs)
	b, err2 := os.ReadFile(ours)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("uml_mkcow's %d bytes and our %d differ", len(a), len(b))
	}
}

func TestCheckSize(t *testing.T) {
	for size, fits := range map[int64]bool{4096: false, 32768: false, 36864: true, mib + 512: false, mib: true} {
		if err := CheckSize(size); (err == nil) != fits {
			t.Errorf("%d: %v", size, err)
		}
	}
}
