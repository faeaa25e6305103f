package swap

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"uml/settings"
)

var sizes = []settings.Size{40 << 10, 64 << 20, 64<<20 + 1, 8 << 40}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: got %v, %s", name, args, err, out)
	}
	return string(out)
}

func area(t *testing.T, size settings.Size, page []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "swap")
	if err := os.WriteFile(file, page, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(size)); err != nil {
		t.Fatal(err)
	}
	return file
}

// mkswap itself writes the same page, but for the UUID that it is told.
func TestHeaderAsMkswap(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.String(), func(t *testing.T) {
			file := area(t, size, nil)
			run(t, "mkswap", "--pagesize", "4096", "--uuid", "clear", file)
			want := firstPage(t, file)
			if got := Header(size); !bytes.Equal(got[:], want) {
				t.Errorf("got %x, want %x", got[1024:1040], want[1024:1040])
			}
			if !Valid(want, int64(size)) {
				t.Errorf("Valid: got false for mkswap's own")
			}
		})
	}
}

func firstPage(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, PageSize)
	if _, err := f.ReadAt(page, 0); err != nil {
		t.Fatal(err)
	}
	return page
}

// What we write is swap to those who look at discs.
func TestHeaderIsSwap(t *testing.T) {
	page := Header(64 << 20)
	file := area(t, 64<<20, page[:])
	if got, want := run(t, "blkid", "-p", "-o", "value", "-s", "TYPE", file), "swap\n"; got != want {
		t.Errorf("blkid: got %q, want %q", got, want)
	}
	run(t, "swaplabel", "--label", "ours", file)
	if !Valid(firstPage(t, file), 64<<20) {
		t.Errorf("with a label: got not valid")
	}
}

func TestValid(t *testing.T) {
	const size = 64 << 20
	page := Header(size)
	changed := func(at int, to byte) []byte {
		p := page
		p[at] = to
		return p[:]
	}
	for _, c := range []struct {
		name string
		page []byte
		size int64
		want bool
	}{
		{"our own", page[:], size, true},
		{"with more after it", append(page[:], 1, 2, 3), size, true},
		{"a boot block", changed(0, 'x'), size, true},
		{"file one page longer", page[:], size + PageSize, false},
		{"file one page shorter", page[:], size - PageSize, false},
		{"part of a page left over", page[:], size + 100, true},
		{"version 0", changed(1024, 0), size, false},
		{"other last page", changed(1028, 1), size, false},
		{"a bad page", changed(1032, 1), size, false},
		{"other magic", changed(PageSize-1, '1'), size, false},
		{"version 16777217", changed(1027, 1), size, false},
		{"cut short", page[:PageSize-1], size, false},
		{"empty", nil, 0, false},
		{"zeros", make([]byte, PageSize), size, false},
		{"a size below zero", page[:], -1, false},
	} {
		if got := Valid(c.page, c.size); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	tiny := Header(9 * PageSize)
	if Valid(tiny[:], 9*PageSize) {
		t.Errorf("9 pages: got valid")
	}
}

func FuzzValid(f *testing.F) {
	page := Header(64 << 20)
	f.Add(page[:], int64(64<<20))
	f.Add([]byte(nil), int64(-1))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		Valid(b, size)
		if size >= MinPages*PageSize && size <= 8<<40 {
			if p := Header(settings.Size(size)); !Valid(p[:], size) {
				t.Errorf("%d: got no valid header of its own", size)
			}
		}
	})
}
