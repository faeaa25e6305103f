package sparse

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const kib = 1 << 10

// file writes data at stretches of [from,to) KiB in a file of that many KiB.
func file(t *testing.T, size int64, stretches ...[2]int64) (*os.File, []byte) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size * kib); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, uint64(size)))
	want := make([]byte, size*kib)
	for _, s := range stretches {
		b := want[s[0]*kib : s[1]*kib]
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if _, err := f.WriteAt(b, s[0]*kib); err != nil {
			t.Fatal(err)
		}
	}
	return f, want
}

func content(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func allocated(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestClone(t *testing.T) {
	for _, size := range []int64{0, 4, 40960} {
		src, want := file(t, size, [][2]int64{{0, size / 4}, {size / 2, size/2 + size/8}}...)
		dst, _ := file(t, 0)
		var told int64
		if _, err := Clone(t.Context(), dst, src, size*kib, func(n int64) { told += n }); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, dst), want) || told != size*kib {
			t.Errorf("%d KiB: not the same, or told of %d", size, told)
		}
		if got, had := allocated(t, dst), allocated(t, src); got > had+64*kib { // ext4 has blocks of its own for extents
			t.Errorf("%d KiB: takes %d, the original %d", size, got, had)
		}
	}
}

// What is a hole of the one is none of the other.
func TestOverwrite(t *testing.T) {
	src, want := file(t, 1024, [2]int64{0, 100}, [2]int64{500, 900})
	dst, _ := file(t, 2048, [2]int64{0, 2048})
	all := content(t, dst)
	copy(all[512*kib:], want)
	if err := Overwrite(t.Context(), dst, src, 0, 1024*kib, 512*kib, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, dst), all) {
		t.Error("not what it should be")
	}
}

// Between two filesystems the kernel copies nothing.
func TestCopyElsewhere(t *testing.T) {
	src, want := file(t, 3000, [2]int64{8, 2900})
	dst, err := os.CreateTemp("/dev/shm", "sparse")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dst.Name())
	defer dst.Close()
	if _, err := Clone(t.Context(), dst, src, 3000*kib, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, dst), want) {
		t.Error("not the same")
	}
	if err := readWrite(t.Context(), dst, src, 0, 3001*kib, 0, nil); err == nil {
		t.Error("read behind the end")
	}
}

func TestShorter(t *testing.T) {
	src, _ := file(t, 64<<10, [2]int64{0, 64 << 10})
	dst, _ := file(t, 0)
	cut := func(int64) {
		if err := src.Truncate(20 << 20); err != nil {
			t.Error(err)
		}
	}
	_, err := Clone(t.Context(), dst, src, 64<<20, cut)
	if err == nil || !strings.HasSuffix(err.Error(), "it was made shorter meanwhile") {
		t.Errorf("got %v", err)
	}
}

func TestCancel(t *testing.T) {
	src, _ := file(t, 64<<10, [2]int64{0, 64 << 10})
	dst, _ := file(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Clone(ctx, dst, src, 64<<20, func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTrim(t *testing.T) {
	f, want := file(t, 4096, [2]int64{0, 4096})
	for _, s := range [][2]int64{{0, 4}, {10, 100}, {1020, 1030}, {3000, 4096}} {
		clear(want[s[0]*kib : s[1]*kib])
	}
	if _, err := f.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4096*kib + 100); err != nil { // ends in the middle of a block
		t.Fatal(err)
	}
	want = append(want, make([]byte, 100)...)
	var told int64
	freed, err := Trim(t.Context(), f, int64(len(want)), func(n int64) { told += n })
	if err != nil {
		t.Fatal(err)
	}
	if wanted := int64(4+88+8+1096) * kib; freed != wanted || allocated(t, f) > 4096*kib-wanted+8*kib {
		t.Errorf("freed %d, want %d; takes %d", freed, wanted, allocated(t, f))
	}
	if !bytes.Equal(content(t, f), want) || told != int64(len(want)) {
		t.Errorf("the file is another, or told of %d", told)
	}
	if freed, err := Trim(t.Context(), f, int64(len(want)), nil); freed > 8*kib || err != nil {
		t.Errorf("again: %d, %v", freed, err)
	}
}
