package inside

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// An entry is a header and what is in the file.
type entry struct {
	tar.Header
	text string
}

func archive(t *testing.T, entries ...entry) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.Typeflag == 0 {
			e.Typeflag = tar.TypeReg
		}
		if e.Mode == 0 {
			e.Mode = 0o644
		}
		e.Size = int64(len(e.text))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func file(name, text string) entry { return entry{tar.Header{Name: name}, text} }

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	then := time.Unix(1_000_000_000, 0)
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	b := archive(t,
		entry{tar.Header{Name: "early", Typeflag: tar.TypeLink, Linkname: "./usr/bin/su"}, ""},
		entry{tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o750}, ""},
		entry{tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o555, ModTime: then}, ""},
		entry{tar.Header{Name: "usr/bin/su", Mode: 0o4755, Uid: 7, Gid: 8, ModTime: then}, "su"},
		entry{tar.Header{Name: "/abs", Mode: 0o600, Uid: 5, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.x": "a=b\n"}}, "abs"},
		entry{tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "../../../etc/passwd", Uid: 9, ModTime: then}, ""},
		entry{tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}, ""},
		entry{tar.Header{Name: "disc", Typeflag: tar.TypeBlock, Devmajor: 98, Devminor: 0, Mode: 0o660}, ""},
		entry{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o622}, ""},
		file("twice", "once"), file("twice", "again"),
		file("sparse", strings.Repeat("\x00", 1<<20)+"end"+strings.Repeat("\x00", 1<<20)),
	)
	unix.Umask(0)
	if err := unpackTo(dir, b); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	stat := func(name string) (st unix.Stat_t) {
		t.Helper()
		if err := unix.Lstat(at(name), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	for name, want := range map[string]string{
		"":           "40750 0 0",
		"usr":        "40555 0 0",
		"usr/bin/su": "104755 7 8",
		"early":      "104755 7 8",
		"abs":        "100600 5 0",
		"link":       "120777 9 0",
		"null":       "20666 0 0",
		"disc":       "60660 0 0",
		"fifo":       "10622 0 0",
	} {
		st := stat(name)
		if got := fmt.Sprintf("%o %d %d", st.Mode, st.Uid, st.Gid); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	if a, b := stat("early"), stat("usr/bin/su"); a.Ino != b.Ino || a.Nlink != 2 {
		t.Error("the hard link is none")
	}
	for _, name := range []string{"usr", "usr/bin/su", "link"} {
		if st := stat(name); st.Mtim.Sec != then.Unix() {
			t.Errorf("%s: changed at %d", name, st.Mtim.Sec)
		}
	}
	if st := stat("null"); st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("null is %x", st.Rdev)
	}
	if to, err := os.Readlink(at("link")); to != "../../../etc/passwd" || err != nil {
		t.Errorf("link leads to %q, %v", to, err)
	}
	if text, err := os.ReadFile(at("twice")); string(text) != "again" || err != nil {
		t.Errorf("twice: %q, %v", text, err)
	}
	if st := stat("sparse"); st.Size != 2<<20+3 || st.Blocks > 16 {
		t.Errorf("sparse: %d bytes in %d blocks", st.Size, st.Blocks)
	}
	for name, want := range map[string]string{"security.capability": capability, "user.x": "a=b\n"} {
		value := make([]byte, 100)
		n, err := unix.Lgetxattr(at("abs"), name, value)
		if err != nil || string(value[:n]) != want {
			t.Errorf("%s: %q, %v", name, value[:max(n, 0)], err)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	for want, b := range map[string]*bytes.Buffer{
		"../x: leads out":                   archive(t, file("../x", "")),
		"a/../../x: leads out":              archive(t, file("a/../../x", "")),
		"/../x: leads out":                  archive(t, file("/../x", "")),
		"l: leads out":                      archive(t, entry{tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../etc/shadow"}, ""}),
		"l: is a link to nowhere":           archive(t, entry{tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "nowhere"}, ""}),
		"is a directory with something":     archive(t, file("d/x", ""), file("d", "")),
		".: takes the place of the root":    archive(t, file(".", "")),
		"file name too long":                archive(t, file(strings.Repeat("x", 300), "")),
		"not a directory":                   archive(t, file("f", ""), file("f/x", "")),
		"the archive, after 1 entries":      bytes.NewBuffer(archive(t, file("f", ""), file("g", strings.Repeat("x", 5000))).Bytes()[:512+300]),
		"huge: the archive ends in it":      bytes.NewBuffer(archive(t, file("huge", strings.Repeat("x", 5000))).Bytes()[:2048]),
		"g: is of a kind":                   archive(t, entry{tar.Header{Name: "g", Typeflag: 'Z'}, ""}),
		"loop/x: too many levels of symbol": archive(t, entry{tar.Header{Name: "loop", Typeflag: tar.TypeSymlink, Linkname: "loop"}, ""}, file("loop/x", "")),
	} {
		dir := t.TempDir()
		err := unpackTo(dir, b)
		if err == nil || !strings.Contains(err.Error(), want) || fault.Code(err) != fault.MustMend {
			t.Errorf("want %q: got %v", want, err)
		}
	}
}

// Nothing of a file is written that cannot be there, however large it says it is.
func TestUnpackHuge(t *testing.T) {
	dir := t.TempDir()
	p, err := newUnpacker(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = p.entry(&tar.Header{Name: "huge", Typeflag: tar.TypeReg, Size: 4 << 50}, nil)
	if err == nil || !strings.Contains(err.Error(), "is 4503599627370496 bytes, and the filesystem") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "huge")); err == nil {
		t.Error("it was made")
	}
}

func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "a/b", Mode: 0o644, Size: 3, Typeflag: tar.TypeReg})
	w.Write([]byte("abc"))
	w.WriteHeader(&tar.Header{Name: "l", Linkname: "a/b", Typeflag: tar.TypeLink})
	w.Close()
	f.Add(b.Bytes())
	// Only names, links apart: this process has no root of its own to keep them in.
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &unpacker{dir: "/x"}
		for r := tar.NewReader(bytes.NewReader(raw)); ; {
			h, err := r.Next()
			if err != nil {
				return
			}
			for _, n := range []string{h.Name, h.Linkname} {
				if name, err := p.name(n); err == nil && name != "/x" && !strings.HasPrefix(name, "/x/") {
					t.Errorf("%q goes to %q", n, name)
				}
			}
		}
	})
}
