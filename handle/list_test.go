package handle

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each is told from each, in a directory of root's and in one that is anybody's; of
// a regular file that text is read which was opened.
func TestOpenEntry(t *testing.T) {
	want := map[string]string{
		"regular": "a regular file", "directory": "a directory", "fifo": "a fifo", "char": "a device", "block": "a device",
		"socket": "a socket", "link": "a symbolic link", "dirlink": "a symbolic link",
	}
	for _, mode := range []os.FileMode{0o755, 0o777} {
		d := zoo(t)
		must(t, os.Chmod(d.Path, mode))
		all, err := d.Entries(100)
		if err != nil || len(all) != len(want) {
			t.Fatalf("%v: got %v, %v", mode, all, err)
		}
		for _, e := range all {
			if e.Regular != (e.Name == "regular") {
				t.Errorf("%v: got %+v", mode, e)
			}
			for _, listed := range []bool{false, true} { // what it was when it was listed may have changed
				f, err := d.OpenEntry(Entry{e.Name, listed})
				if err != nil {
					t.Errorf("%v, %s: %v", mode, e.Name, err)
					continue
				}
				if f.Kind() != want[e.Name] {
					t.Errorf("%v, %s: got %s", mode, e.Name, f.Kind())
				}
				if e.Name == "regular" {
					must(t, os.Rename(d.Join("regular"), d.Join("before")))
					write(t, d.Join("regular"), "another")
					if text, err := f.Read(100); string(text) != "text" || err != nil {
						t.Errorf("%v: got %q, %v", mode, text, err)
					}
					must(t, os.Rename(d.Join("before"), d.Join("regular")))
				}
				must(t, f.Close())
			}
		}
	}
}

// In a directory that is not root's alone nothing but a regular file is opened, and
// not before it was judged: to open a fifo would let its other end go on.
func TestOpenEntryJudges(t *testing.T) {
	for _, c := range []struct {
		mode  os.FileMode
		owner int
	}{{0o777, 0}, {0o775, 0}, {0o755, 1}} {
		d := zoo(t)
		must(t, os.Chmod(d.Path, c.mode), os.Chown(d.Path, c.owner, 0))
		f, err := d.OpenEntry(Entry{"fifo", true})
		if err != nil {
			t.Fatal(err)
		}
		if fd, err := unix.Open(d.Join("fifo"), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != unix.ENXIO {
			t.Errorf("%o of %d: the fifo was opened for reading: %v", c.mode, c.owner, err)
			unix.Close(fd)
		}
		must(t, f.Close())
	}
}

// A directory is listed whole, by List and again after it, and where it cannot be
// read but entered it is opened all the same.
func TestEntries(t *testing.T) {
	parent := openDir(t, t.TempDir())
	must(t, os.Mkdir(parent.Join("many"), 0o755))
	long := strings.Repeat("n", 200)
	for n := range 300 {
		write(t, parent.Join("many")+"/"+long+strconv.Itoa(n), "")
	}
	d, err := parent.List("many")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 3 {
		if all, err := d.Entries(1000); len(all) != 300 || err != nil {
			t.Errorf("got %d, %v", len(all), err)
		}
		if all, err := d.Entries(299); len(all) != 299 || err != nil {
			t.Errorf("at most 299: got %d, %v", len(all), err)
		}
	}
	must(t, os.Chmod(parent.Path, 0o711), os.Chmod(parent.Join("many"), 0o711))
	must(t, As(1, 1, func() error {
		d, err := parent.List("many")
		if err != nil {
			return err
		}
		defer d.Close()
		if _, err := d.Entries(1); err == nil {
			t.Error("listed what may not be read")
		}
		_, err = d.Lstat(long + "7")
		return err
	}))
}

// Where a directory is follows from where that is in which it was opened.
func TestRealBelow(t *testing.T) {
	d := zoo(t)
	up := openDir(t, d.Join("dirlink/.."))
	for range 2 { // before and after it was asked
		sub, err := up.Dir("directory")
		if err != nil {
			t.Fatal(err)
		}
		if real, err := sub.Real(); real != d.Join("directory") || err != nil {
			t.Errorf("got %s, %v", real, err)
		}
		must(t, sub.Close())
		if real, err := up.Real(); real != d.Path || err != nil {
			t.Errorf("got %s, %v", real, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	entry := binary.NativeEndian.AppendUint16(make([]byte, 16), 24)
	entry[0] = 1
	f.Add(append(entry, unix.DT_REG, 'm', 'e', 'm', 0, 0))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for _, e := range parse(nil, buf) {
			if e.Name == "." || e.Name == ".." || strings.Contains(e.Name, "\x00") || len(e.Name) > len(buf) {
				t.Errorf("got %q", e.Name)
			}
		}
	})
}

// Files of /proc say no size, and may be longer than a page.
func TestReadProc(t *testing.T) {
	for _, name := range []string{"/proc/self/stat", "/proc/self/cmdline", "/proc/kallsyms"} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadProc(name)
		if err != nil || len(got) != len(want) && name != "/proc/self/stat" {
			t.Errorf("%s: got %d bytes, %v, want %d", name, len(got), err, len(want))
		}
		if cap(got) > 2*len(got)+64 {
			t.Errorf("%s: keeps %d bytes for %d", name, cap(got), len(got))
		}
	}
	if _, err := ReadProc("/proc/none"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}
