package handle

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
)

func openDir(t *testing.T, name string) *Dir {
	t.Helper()
	d, err := OpenDir(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// must is for calls that make what a test needs.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

// zoo is a directory with a file of each kind, named for it.
func zoo(t *testing.T) *Dir {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/regular", "text")
	must(t,
		os.Mkdir(dir+"/directory", 0o755),
		unix.Mkfifo(dir+"/fifo", 0o644),
		unix.Mknod(dir+"/char", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))),
		unix.Mknod(dir+"/block", unix.S_IFBLK|0o644, int(unix.Mkdev(7, 0))),
		unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o644, 0),
		os.Symlink("regular", dir+"/link"),
		os.Symlink("directory", dir+"/dirlink"))
	write(t, dir+"/directory/below", "")
	return openDir(t, dir)
}

func TestKind(t *testing.T) {
	d := zoo(t)
	for _, c := range []struct{ name, want string }{
		{"regular", "a regular file"},
		{"directory", "a directory"},
		{"fifo", "a fifo"},
		{"char", "a device"},
		{"block", "a device"},
		{"socket", "a socket"},
		{"link", "a symbolic link"},
	} {
		f, err := d.Open(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Kind(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		err = f.Regular()
		if want := d.Join(c.name) + ": is " + c.want + ", not a regular file"; c.name != "regular" && (err == nil || err.Error() != want) {
			t.Errorf("%s: got %v, want %s", c.name, err, want)
		}
		if c.name == "regular" && err != nil {
			t.Errorf("%s: got %v", c.name, err)
		}
		must(t, f.Close())
	}
}

func TestOpenStaysBelow(t *testing.T) {
	d := zoo(t)
	for _, c := range []struct {
		name string
		want error
	}{
		{"directory/below", nil},
		{"directory/../regular", nil},
		{"../" + filepath.Base(d.Path) + "/regular", unix.EXDEV},
		{"..", unix.EXDEV},
		{"/etc/passwd", unix.EXDEV},
		{"dirlink/below", unix.ELOOP},
		{"none", unix.ENOENT},
		{"", unix.ENOENT},
		{"regular/x", unix.ENOTDIR},
		{"a\x00b", unix.EINVAL},
	} {
		f, err := d.Open(c.name)
		if !errors.Is(err, c.want) {
			t.Errorf("%q: got %v, want %v", c.name, err, c.want)
		}
		if err == nil {
			must(t, f.Close())
		}
	}
	for name, want := range map[string]error{"directory": nil, "dirlink": unix.ENOTDIR, "regular": unix.ENOTDIR, "..": unix.EXDEV} {
		sub, err := d.Dir(name)
		if !errors.Is(err, want) {
			t.Errorf("Dir(%q): got %v, want %v", name, err, want)
		}
		if err == nil {
			must(t, sub.Close())
		}
	}
}

// Paths that the administrator names may be links.
func TestOpenByAdministrator(t *testing.T) {
	d := zoo(t)
	f, err := Open(d.Join("link"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	target, err := d.Open("regular")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if !f.Same(&target.Stat) {
		t.Errorf("got another file than the link's")
	}
	real, err := openDir(t, d.Join("dirlink")).Real()
	if want := d.Join("directory"); real != want || err != nil {
		t.Errorf("Real: got %s, %v, want %s", real, err, want)
	}
}

func TestNames(t *testing.T) {
	d := zoo(t)
	all, err := d.Names(100)
	slices.Sort(all)
	if want := []string{"block", "char", "directory", "dirlink", "fifo", "link", "regular", "socket"}; !slices.Equal(all, want) || err != nil {
		t.Errorf("got %q, %v, want %q", all, err, want)
	}
	if some, err := d.Names(3); len(some) != 3 || err != nil {
		t.Errorf("limit 3: got %q, %v", some, err)
	}
	if none, err := openDir(t, t.TempDir()).Names(3); len(none) != 0 || err != nil {
		t.Errorf("empty: got %q, %v", none, err)
	}
}

// What was judged is what is used, whatever the name means by then.
func TestReopenAfterRename(t *testing.T) {
	d := zoo(t)
	f, err := d.Open("regular")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	must(t, os.Remove(d.Join("regular")))
	write(t, d.Join("regular"), "other")
	r, err := f.Reopen(unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, 10)
	if n, _ := r.Read(b); string(b[:n]) != "text" {
		t.Errorf("got %q, want text", b[:n])
	}
}

// A lease would hold a plain open for 45 s (/proc/sys/fs/lease-break-time).
func TestReopenLeased(t *testing.T) {
	name := t.TempDir() + "/leased"
	write(t, name, "")
	holder, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.Reopen(unix.O_RDONLY)
	if want := name + ": its owner holds a lease on it (see /proc/locks)"; err == nil || err.Error() != want || fault.Code(err) != fault.MayPass {
		t.Errorf("got %v (%d), want %s (%d)", err, fault.Code(err), want, fault.MayPass)
	}
}
