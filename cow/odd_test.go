package cow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Discs of sizes that are no multiple of anything, which Create does not make and others
// have, are read, mended, merged and rebased as a plain model of the layout has them.
func TestOddSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	sizes := []int64{1, 513, 4095, 4097, 32769, 3<<20 + 5*512}
	for range 3 {
		sizes = append(sizes, 1+r.Int64N(2<<20))
	}
	for _, v := range []Version{V1, V2, V3, Broken} {
		for _, align := range []int64{512, 65536} {
			for _, size := range sizes {
				if v < V3 && align > 512 {
					continue
				}
				t.Run(fmt.Sprint(int(v), align, size), func(t *testing.T) { odd(t, r, v, align, size) })
			}
		}
	}
}

func odd(t *testing.T, r *rand.Rand, v Version, align, size int64) {
	dir := t.TempDir()
	base, own := make([]byte, size), make([]byte, size)
	for i := range base {
		base[i], own[i] = byte(r.Uint32()), byte(r.Uint32())
	}
	if size > 10000 {
		clear(own[:r.Int64N(size)])
	}
	h := &Header{Version: v, Backing: filepath.Join(dir, "base"), MTime: 1700000000, Size: size, Align: align, order: binary.BigEndian}
	bitmap, want := make([]byte, h.BitmapLen()), bytes.Clone(base)
	for s := int64(0); s < min((size-1)/Sector+1, 8*h.BitmapLen()); {
		run, mark := 1+r.Int64N(20), r.IntN(2) == 0
		for ; run > 0 && s < min((size-1)/Sector+1, 8*h.BitmapLen()); run, s = run-1, s+1 {
			if mark {
				bitmap[s/8] |= 1 << (s % 8)
				copy(want[s*Sector:min((s+1)*Sector, size)], own[s*Sector:])
			}
		}
	}
	in := openFile(t, h.Backing, base)
	if err := os.Chtimes(h.Backing, time.Time{}, time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, filepath.Join(dir, "cow"), h.marshal())
	for _, w := range []struct {
		b  []byte
		at int64
	}{{bitmap, h.BitmapAt()}, {own, h.DataAt()}} {
		if _, err := f.WriteAt(w.b, w.at); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *Pair {
		t.Helper()
		c, err := Open(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.With(in)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	same := func(what string, got []byte, err error) {
		t.Helper()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: another disc (%d bytes, %v)", what, len(got), err)
		}
	}
	whole := func(what string) {
		t.Helper()
		p := open()
		got, err := io.ReadAll(io.NewSectionReader(p, 0, size))
		same(what, got, err)
		dst := openFile(t, filepath.Join(dir, what), nil)
		if err := p.Merge(t.Context(), dst, nil); err != nil {
			t.Fatal(err)
		}
		same(what+", merged", read(t, dst.Name()), nil)
	}
	whole("as it is")
	p := open()
	if _, err := p.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Count(); err != nil || n.Halves != 0 || n.Beyond != 0 {
		t.Fatalf("after mending: %+v, %v", n, err)
	}
	whole("mended")
	if err := open().MergeBack(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(h.Backing)
	same("backing file", got, err)
	whole("merged back")
}
