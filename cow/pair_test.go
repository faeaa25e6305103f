package cow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A bench is a pair of random content, with what the disc is by another reckoning.
type bench struct {
	*Pair
	dir  string
	want []byte
}

func openFile(t *testing.T, name string, b []byte) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// makePair writes random runs of sectors, as the kernel's driver would: data, then bits.
func makePair(t *testing.T, v Version, size int64, seed uint64) *bench {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	b := &bench{dir: t.TempDir(), want: make([]byte, size)}
	for at := int64(0); at < size; at += 64 << 10 { // every other stretch a hole
		if r.IntN(2) == 0 {
			for i := at; i < min(at+64<<10, size); i++ {
				b.want[i] = byte(r.Uint32())
			}
		}
	}
	name := filepath.Join(b.dir, "base")
	base := openFile(t, name, nil)
	if err := errors.Join(base.Truncate(size), sparseWrite(base, b.want), os.Chtimes(name, time.Time{}, time.Unix(1700000000, 0))); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, filepath.Join(b.dir, "cow"), nil)
	c, err := Create(f, v, name, size, 1700000000)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		from := r.Int64N(size / Sector)
		to := min(from+1+r.Int64N(200), size/Sector)
		if r.IntN(2) == 0 {
			from, to = from/8*8, (to+7)/8*8
		}
		data := make([]byte, (to-from)*Sector)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			clear(data) // a page of zeros
		}
		copy(b.want[from*Sector:], data)
		if _, err := f.WriteAt(data, c.DataAt()+from*Sector); err != nil {
			t.Fatal(err)
		}
		setBits(t, c, from, to)
	}
	if b.Pair, err = c.With(base); err != nil {
		t.Fatal(err)
	}
	return b
}

func sparseWrite(f *os.File, b []byte) error {
	for at := 0; at < len(b); at += Page {
		page := b[at:min(at+Page, len(b))]
		if bytes.Equal(page, make([]byte, len(page))) {
			continue
		}
		if _, err := f.WriteAt(page, int64(at)); err != nil {
			return err
		}
	}
	return nil
}

func setBits(t *testing.T, c *File, from, to int64) {
	t.Helper()
	b := make([]byte, (to-1)/8-from/8+1)
	if _, err := c.f.ReadAt(b, c.BitmapAt()+from/8); err != nil {
		t.Fatal(err)
	}
	for s := from; s < to; s++ {
		b[s/8-from/8] |= 1 << (s % 8)
	}
	if _, err := c.f.WriteAt(b, c.BitmapAt()+from/8); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) disc(t *testing.T) []byte {
	t.Helper()
	got := make([]byte, b.Size)
	if _, err := b.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	return got
}

var versions = []Version{V1, V2, V3}

func TestReadAt(t *testing.T) {
	for _, v := range versions {
		for seed := range uint64(5) {
			b := makePair(t, v, 3*mib+Page, seed)
			if !bytes.Equal(b.disc(t), b.want) {
				t.Fatalf("version %v, seed %d: the disc is another", v, seed)
			}
			r := rand.New(rand.NewPCG(seed, 2))
			for range 200 {
				from := r.Int64N(b.Size)
				part := make([]byte, r.IntN(20000))
				n, err := b.ReadAt(part, from)
				if want := b.want[from:min(from+int64(len(part)), b.Size)]; n != len(want) || !bytes.Equal(part[:n], want) || (err == nil) != (n == len(part)) {
					t.Fatalf("version %v, %d bytes at %d: got %d, %v", v, len(part), from, n, err)
				}
			}
		}
	}
}

// Ours is what uml_moo's is, of every version.
func TestMerge(t *testing.T) {
	for _, v := range versions {
		for seed := range uint64(3) {
			b := makePair(t, v, 3*mib+Page, seed)
			ours, theirs := filepath.Join(b.dir, "ours"), filepath.Join(b.dir, "theirs")
			var told int64
			if err := b.Merge(t.Context(), openFile(t, ours, nil), func(n int64) { told += n }); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("uml_moo", filepath.Join(b.dir, "cow"), theirs).CombinedOutput(); err != nil {
				t.Fatalf("uml_moo: %v: %s", err, out)
			}
			if got := read(t, ours); !bytes.Equal(got, b.want) || !bytes.Equal(got, read(t, theirs)) {
				t.Errorf("version %v, seed %d: ours right %v, uml_moo's right %v", v, seed, bytes.Equal(got, b.want), bytes.Equal(read(t, theirs), b.want))
			}
			if told != b.Size {
				t.Errorf("told of %d bytes, of %d", told, b.Size)
			}
		}
	}
}

// Ended after each step of its way and said again, it comes to the same, and in between
// nothing is lost and no kernel takes the pair.
func TestMergeBack(t *testing.T) {
	for _, v := range versions {
		for stop := range 5 {
			b := makePair(t, v, 3*mib, uint64(stop))
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			err := b.MergeBack(ctx, func(int64) {
				if steps++; steps == stop*20 {
					cancel()
				}
			})
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				again, err := Open(b.f)
				if err != nil {
					t.Fatal(err)
				}
				p, err := again.With(b.backing)
				if !errors.Is(err, ErrMerging) {
					t.Fatalf("version %v, ended: %v", v, err)
				}
				if !bytes.Equal((&bench{Pair: p}).disc(t), b.want) {
					t.Fatalf("version %v, ended after %d: the disc is another", v, steps)
				}
				if err := p.MergeBack(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(read(t, b.backing.Name()), b.want) {
				t.Errorf("version %v, stop %d: the backing file is not the disc", v, stop)
			}
			after, err := Open(b.f)
			if err != nil {
				t.Fatal(err)
			}
			p, err := after.With(b.backing)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := p.Count(); err != nil || n.Sectors != 0 {
				t.Errorf("afterwards: %+v, %v", n, err)
			}
			cancel()
		}
	}
}

func TestMend(t *testing.T) {
	for _, v := range versions {
		b := makePair(t, v, 3*mib+Page, 7)
		before, err := b.Count()
		if err != nil || before.Halves == 0 || before.Beyond != 0 {
			t.Fatalf("got %+v, %v", before, err)
		}
		n, err := b.Mend(t.Context())
		if err != nil || n != before.Halves {
			t.Errorf("version %v: mended %d of %d, %v", v, n, before.Halves, err)
		}
		if after, err := b.Count(); err != nil || after.Halves != 0 || after.Sectors%8 != 0 {
			t.Errorf("version %v: then %+v, %v", v, after, err)
		}
		if !bytes.Equal(b.disc(t), b.want) {
			t.Errorf("version %v: the disc is another", v)
		}
	}
}

func TestDiff(t *testing.T) {
	b := makePair(t, V3, 3*mib, 3)
	base := read(t, b.backing.Name())
	got := bytes.Clone(base)
	var own, same, told int64
	err := b.Diff(t.Context(), func(n int64) { told += n }, func(from, to int64, changed bool) error {
		own += to - from
		if !changed {
			same += to - from
			return nil
		}
		copy(got[from:to], b.want[from:to])
		return nil
	})
	n, countErr := b.Count()
	if err := errors.Join(err, countErr); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.want) || own != n.Sectors*Sector || same == 0 || told != b.Size {
		t.Errorf("right %v, %d of %d bytes, %d the same, told of %d", bytes.Equal(got, b.want), own, n.Sectors*Sector, same, told)
	}
}

// The disc stays what it is on another backing file, and what is the same there is not kept.
func TestFill(t *testing.T) {
	b := makePair(t, V2, 3*mib, 5)
	other := bytes.Clone(b.want)
	for at := 0; at < len(other); at += 100000 {
		other[at]++
	}
	base := openFile(t, filepath.Join(b.dir, "other"), other)
	st, err := base.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Create(openFile(t, filepath.Join(b.dir, "new"), nil), V3, base.Name(), b.Size, st.ModTime().Unix())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.With(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Fill(t.Context(), b.Pair, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal((&bench{Pair: p}).disc(t), b.want) {
		t.Error("the disc is another")
	}
	if n, err := p.Count(); err != nil || n.Halves != 0 || n.Sectors != int64(len(other)/100000+1)*8 {
		t.Errorf("got %+v, %v", n, err)
	}
}

func TestWith(t *testing.T) {
	b := makePair(t, V3, mib, 1)
	name := b.backing.Name()
	try := func() error { _, err := b.File.With(b.backing); return err }
	if err := os.Chtimes(name, time.Time{}, time.Unix(1700000001, 0)); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s: the backing file has changed since: %s was changed at @1700000001, and is known as of @1700000000 (if what is in it is the same, as after cp without -p: touch -d @1700000000 %s; else bring the old one back)", b.f.Name(), name, name)
	if err := try(); !errors.Is(err, ErrChanged) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := b.Rename("/elsewhere"); err != nil {
		t.Fatal(err)
	}
	h, err := Read(b.f)
	if err != nil || h.Backing != "/elsewhere" || h.MTime != 1700000001 {
		t.Errorf("got %+v, %v", h, err)
	}
	if err := try(); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(name, 2*mib); err != nil {
		t.Fatal(err)
	}
	if err := try(); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

// A file that was cut off is an error, before it is opened and after.
func TestCutOff(t *testing.T) {
	b := makePair(t, V3, mib, 1)
	setBits(t, b.File, mib/Sector-8, mib/Sector)
	if err := b.f.Truncate(b.DataAt() + mib - 100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(make([]byte, mib), 0); err == nil {
		t.Error("read what is not there")
	}
	if err := b.Merge(t.Context(), openFile(t, filepath.Join(b.dir, "out"), nil), nil); err == nil {
		t.Error("merged what is not there")
	}
	if err := b.MergeBack(t.Context(), nil); err == nil {
		t.Error("merged back what is not there")
	}
	_, err := Open(b.f)
	if want := fmt.Sprintf("%s: is %d bytes of %d: it was cut off", b.f.Name(), b.DataAt()+mib-100, b.DataAt()+mib); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
