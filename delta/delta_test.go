package delta

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/wire"
)

// A disc of tests: a file, and what another host has of it.
type disc struct {
	t     *testing.T
	size  int64
	here  *os.File
	sums  *Sums
	there *Target
	slow  time.Duration // of each write to the wire
}

func newDisc(t *testing.T, size int64) *disc {
	t.Helper()
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = f.Truncate(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	d := &disc{t: t, size: size, here: open("here"), sums: sums(t, dir)}
	d.there = &Target{File: open("there"), Size: size, Sums: sums(t, dir)}
	return d
}

func sums(t *testing.T, dir string) *Sums {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (d *disc) write(at int64, b []byte) {
	d.t.Helper()
	if _, err := d.here.WriteAt(b, at); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disc) punch(at, n int64) {
	d.t.Helper()
	if err := unix.Fallocate(int(d.here.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n); err != nil {
		d.t.Fatal(err)
	}
}

type slowly struct {
	w    io.Writer
	wait time.Duration
}

func (s slowly) Write(b []byte) (int, error) {
	time.Sleep(s.wait)
	return s.w.Write(b)
}

// pass sends what is not there, and looks whether all is there then.
func (d *disc) pass() Stats {
	d.t.Helper()
	r, w := io.Pipe()
	none, never := io.Pipe()
	defer never.Close()
	c, back := wire.New(none, slowly{w, d.slow}, time.Minute), wire.New(r, io.Discard, time.Minute)
	defer c.Close()
	defer back.Close()
	applied := make(chan error, 1)
	go func() {
		for {
			kind, payload, err := back.Read()
			if err != nil || kind == 'e' {
				applied <- err
				return
			}
			if err := Apply(kind, payload, map[int]*Target{3: d.there}); err != nil {
				applied <- err
				return
			}
		}
	}()
	var told int64
	stats, err := Send(context.Background(), c, 3, d.here, d.size, d.sums, func(n int64) { told += n })
	if err != nil {
		d.t.Fatal(err)
	}
	if told != d.size {
		d.t.Errorf("told of %d bytes of %d", told, d.size)
	}
	if err := c.Send('e'); err != nil {
		d.t.Fatal(err)
	}
	c.Flush()
	if err := <-applied; err != nil {
		d.t.Fatal(err)
	}
	d.alike()
	return stats
}

func (d *disc) roots() (here, there [32]byte) {
	d.t.Helper()
	here, err := Root(d.size, d.sums)
	if err != nil {
		d.t.Fatal(err)
	}
	there, err = Root(d.size, d.there.Sums)
	if err != nil {
		d.t.Fatal(err)
	}
	return here, there
}

func (d *disc) alike() {
	d.t.Helper()
	if here, there := d.roots(); here != there {
		d.t.Error("the sums are not alike")
	}
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < d.size; at += 1 << 20 {
		n, _ := d.here.ReadAt(a, at)
		k, _ := d.there.File.ReadAt(b, at)
		if n != k || !bytes.Equal(a[:n], b[:k]) {
			d.t.Fatalf("the files differ in the MiB at %d", at)
		}
	}
}

func taken(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

// Passes over a disc that its guest changes: what is there is what is here, and holes stay holes.
func TestPasses(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 1, 4095, 4096, 4097, 1 << 20, 5<<20 + 512, 64 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			d := newDisc(t, size)
			d.pass()
			if size > 0 {
				d.write(size-1, []byte("x"))
				d.pass()
			}
			if size < 5<<20 {
				return
			}
			d.write(3<<20+7, noise(1<<20))
			d.write(1<<20, make([]byte, 64<<10)) // zeros that are no hole
			if s := d.pass(); s.Changed < 1<<20 || s.Changed > 1<<20+3*Block {
				t.Errorf("changed %d", s.Changed)
			}
			if s := d.pass(); s.Changed != 0 || s.Sent != 0 {
				t.Errorf("nothing changed, and sent was %+v", s)
			}
			d.punch(3<<20, 512<<10)
			d.write(4<<20-100, make([]byte, 200))
			d.pass()
			if here, there := taken(t, d.here), taken(t, d.there.File); there > here {
				t.Errorf("%d bytes taken here, %d there", here, there)
			}
		})
	}
}

// A hundredth of the disc in single blocks costs hardly more than itself.
func TestScattered(t *testing.T) {
	t.Parallel()
	d := newDisc(t, 64<<20)
	d.write(0, noise(32<<20))
	d.pass()
	for i := range int64(160) {
		d.write(i*50*Block, noise(Block-1-int(i)))
	}
	s := d.pass()
	if s.Changed != 160*Block || float64(s.Sent) > 1.05*float64(s.Changed) {
		t.Errorf("%+v for %d changed", s, 160*Block)
	}
}

// What an interrupted pass has left is told by the file itself: only the rest is sent.
func TestResume(t *testing.T) {
	t.Parallel()
	d := newDisc(t, 16<<20)
	d.write(1<<20, noise(8<<20))
	d.pass()
	d.write(12<<20, noise(Block))
	// Both have ended. Of what was written there the last MiB was lost.
	if err := d.there.File.Truncate(8 << 20); err != nil {
		t.Fatal(err)
	}
	if err := d.there.File.Truncate(16 << 20); err != nil {
		t.Fatal(err)
	}
	if err := Rebuild(t.Context(), d.there.File, d.size, d.there.Sums, nil); err != nil {
		t.Fatal(err)
	}
	d.sums = sums(t, t.TempDir())
	r, w := io.Pipe()
	none, never := io.Pipe()
	defer never.Close()
	c, back := wire.New(r, io.Discard, time.Minute), wire.New(none, w, time.Minute)
	defer c.Close()
	defer back.Close()
	go func() {
		SendSums(back, 3, d.size, d.there.Sums)
		back.Send('e')
		back.Flush()
	}()
	for {
		kind, payload, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if kind == 'e' {
			break
		}
		if err := TakeSums(kind, payload, 3, d.size, d.sums); err != nil {
			t.Fatal(err)
		}
	}
	if s := d.pass(); s.Changed != 1<<20+Block {
		t.Errorf("changed %d, lacking was %d", s.Changed, 1<<20+Block)
	}
}

// A disc that does not keep what is written is found out.
func TestRootTells(t *testing.T) {
	t.Parallel()
	d := newDisc(t, 4<<20)
	d.write(0, noise(2<<20))
	d.pass()
	if _, err := d.there.File.WriteAt([]byte{0x55}, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := Rebuild(t.Context(), d.there.File, d.size, d.there.Sums, nil); err != nil {
		t.Fatal(err)
	}
	if here, there := d.roots(); here == there {
		t.Error("one byte is another, and the digest is the same")
	}
}

// A wire that is slower than the compressor gets less to carry, and never more.
func TestCompression(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("all work and no play makes a disc compressible, "), 1<<20)[:32<<20]
	d := newDisc(t, 32<<20)
	d.slow = 20 * time.Millisecond
	d.write(0, text)
	if s := d.pass(); s.Sent > s.Changed/4 {
		t.Errorf("sent %d of %d", s.Sent, s.Changed)
	}
	d.write(0, noise(32<<20))
	if s := d.pass(); s.Sent > s.Changed+s.Changed/1000 {
		t.Errorf("sent %d of %d that nothing makes shorter", s.Sent, s.Changed)
	}
}

// A guest that makes its disc shorter meanwhile gets an error, not zeros: also where nothing was
// looked for behind its end.
func TestShorter(t *testing.T) {
	t.Parallel()
	for _, left := range []int64{0, 1 << 20, 1<<20 + 100, 4<<20 - 1} {
		for _, used := range []int{0, 1 << 20, 4 << 20} {
			d := newDisc(t, 4<<20)
			d.write(0, noise(used))
			if err := d.here.Truncate(left); err != nil {
				t.Fatal(err)
			}
			if err := Rebuild(t.Context(), d.here, d.size, d.sums, nil); err == nil || !strings.Contains(err.Error(), "shorter") {
				t.Errorf("a disc of 4 MiB, %d used, that has %d left: %v", used, left, err)
			}
		}
	}
}

// Many short zstd frames in one are no way around the bound.
func TestBomb(t *testing.T) {
	t.Parallel()
	d := newDisc(t, 64<<20)
	one := pack.EncodeAll(make([]byte, piece), nil)
	b := append([]byte{3, flagZstd, 0, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat(one, 60)...)
	if err := Apply(KindData, b, map[int]*Target{3: d.there}); err == nil || !strings.Contains(err.Error(), "exceeds") {
		t.Errorf("60 MiB in %d bytes: %v", len(b), err)
	}
	if n := taken(t, d.there.File); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
}

func FuzzApply(f *testing.F) {
	f.Add(byte('D'), append([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, Block)...))
	f.Add(byte('D'), append([]byte{3, 1, 0, 0, 0, 0, 0, 0, 0, 0}, pack.EncodeAll(make([]byte, Block), nil)...))
	f.Add(byte('Z'), []byte{3, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x10, 0})
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		dir := t.TempDir()
		file, err := os.Create(filepath.Join(dir, "there"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		const size = 5*Block + 100
		file.Truncate(size)
		s := sums(t, dir)
		err = Apply(kind, b, map[int]*Target{3: {File: file, Size: size, Sums: s}})
		if st, _ := file.Stat(); st.Size() != size {
			t.Fatalf("%q %x: the disc has %d bytes (%v)", kind, b, st.Size(), err)
		}
		TakeSums(kind, b, 3, size, s)
		if st, _ := s.f.Stat(); st.Size() > blocks(size)*sumLen {
			t.Fatalf("%q %x: sums of %d bytes", kind, b, st.Size())
		}
	})
}

// The pass with the guest down: a GB of which 300 MB are used, and nothing has changed.
func BenchmarkUnchanged(b *testing.B) {
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "disc"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	f.Truncate(1 << 30)
	for i := range int64(300) {
		f.WriteAt(noise(1<<20), i*3<<20)
	}
	s, err := New(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := Rebuild(b.Context(), f, 1<<30, s, nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(300 << 20)
	for b.Loop() {
		if _, err := Send(b.Context(), nil, 0, f, 1<<30, s, nil); err != nil {
			b.Fatal(err)
		}
	}
}
