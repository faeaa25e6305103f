package flatten

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"uml/fault"
)

const mib = 1 << 20

func options(t *testing.T, limit int64) Options {
	return Options{Limit: limit, Say: func(s string) { t.Log(s) }}
}

// temps makes files without a name, as the store's.
func temps(t *testing.T) func() (*os.File, error) {
	dir := t.TempDir()
	return func() (*os.File, error) {
		f, err := os.CreateTemp(dir, "")
		if err == nil {
			t.Cleanup(func() { f.Close() })
		}
		return f, err
	}
}

func plain(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(n))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func written(t *testing.T, text []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func gz(b []byte) []byte {
	var to bytes.Buffer
	w := gzip.NewWriter(&to)
	w.Write(b)
	w.Close()
	return to.Bytes()
}

func zst(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func xzed(t *testing.T, b []byte) []byte {
	t.Helper()
	cmd := exec.Command("xz", "-9", "-c")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func content(t *testing.T, f *os.File) []byte {
	t.Helper()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestArchive(t *testing.T) {
	want := plain(t, "a", "b/c")
	for name, text := range map[string][]byte{"plain": want, "gzip": gz(want), "zstd": zst(t, want), "xz": xzed(t, want)} {
		f, err := Archive(t.Context(), options(t, mib), written(t, text), temps(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(content(t, f), want) {
			t.Errorf("%s: is another", name)
		}
	}
}

// Whatever an archive is, no more than the limit is written, and what is zeros takes no room.
func TestArchiveRefuses(t *testing.T) {
	bomb := make([]byte, 64*mib)
	for want, text := range map[string][]byte{
		"is no tar archive, plain":           []byte("hello"),
		"is more than 16 MiB, which":         gz(bomb),
		"is more than 16 MiB, which ":        zst(t, bomb),
		" is more than 16 MiB, which":        xzed(t, bomb),
		"is damaged: unexpected EOF":         gz(plain(t, "a"))[:40],
		"is no tar archive: archive/tar":     gz([]byte(strings.Repeat("hello", 1000))),
		"is damaged: gzip: invalid checksum": append(gz(plain(t, "a"))[:len(gz(plain(t, "a")))-8], 1, 2, 3, 4, 5, 6, 7, 8),
	} {
		temp, dir := temps(t), ""
		_, err := Archive(t.Context(), options(t, 16*mib), written(t, text), func() (*os.File, error) {
			f, err := temp()
			dir = f.Name()
			return f, err
		})
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) || fault.Code(err) != fault.MustMend {
			t.Errorf("want %q: got %v", want, err)
		}
		var st unix.Stat_t
		if dir != "" && (unix.Stat(dir, &st) != nil || st.Blocks*512 > mib) {
			t.Errorf("%q: %d bytes were written", want, st.Blocks*512)
		}
	}
}

func TestArchiveEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Archive(ctx, options(t, mib), written(t, plain(t, "a")), temps(t))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A full filesystem is no fault of the archive.
func TestArchiveNoRoom(t *testing.T) {
	_, err := Archive(t.Context(), options(t, mib), written(t, plain(t, "a")), func() (*os.File, error) {
		return os.OpenFile("/dev/full", os.O_RDWR, 0)
	})
	if fault.Code(err) != fault.MayPass || !strings.Contains(fmt.Sprint(err), "no room") {
		t.Errorf("got %v", err)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	then := time.Unix(1_000_000_000, 500)
	err := errors.Join(
		os.Chmod(dir, 0o711),
		os.Mkdir(at("d"), 0o755),
		os.WriteFile(at("d/f"), []byte("text"), 0o600), os.Chown(at("d/f"), 5, 6),
		unix.Setxattr(at("d/f"), "security.capability", []byte(capability), 0), unix.Chmod(at("d/f"), 0o4711),
		os.Chtimes(at("d/f"), then, then),
		os.Link(at("d/f"), at("g")),
		os.Symlink("/etc/shadow", at("link")), os.Lchown(at("link"), 7, 8),
		os.Symlink("/etc", at("out")),
		unix.Mknod(at("null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))),
		unix.Mkfifo(at("fifo"), 0o600),
		os.WriteFile(at("sparse"), nil, 0o644), os.Truncate(at("sparse"), 8*mib),
		os.Mkdir(at("mounted"), 0o755), unix.Mount("tmpfs", at("mounted"), "tmpfs", 0, "size=64k"),
		os.WriteFile(at("mounted/x"), nil, 0o644))
	t.Cleanup(func() { unix.Unmount(at("mounted"), unix.MNT_DETACH) })
	if err != nil {
		t.Fatal(err)
	}
	out, err := temps(t)()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	o := Options{Limit: 16 * mib, Say: func(s string) { said = append(said, s) }}
	if err := Directory(t.Context(), o, dir, out); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "mounted: what is in it is left out") {
		t.Errorf("it said %q", said)
	}
	var got []string
	out.Seek(0, io.SeekStart)
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%c %s %o %d/%d %s", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid, h.Linkname))
		if h.Name == "d/f" && (h.PAXRecords["SCHILY.xattr.security.capability"] != capability || !h.ModTime.Equal(then) || h.Size != 4) {
			t.Errorf("%s: %q, %v, %d bytes", h.Name, h.PAXRecords, h.ModTime, h.Size)
		}
		if h.Name == "null" && (h.Devmajor != 1 || h.Devminor != 3) {
			t.Errorf("%s: %d, %d", h.Name, h.Devmajor, h.Devminor)
		}
	}
	want := []string{"5 ./ 711 0/0 ", "5 d/ 755 0/0 ", "0 d/f 4711 5/6 ", "6 fifo 600 0/0 ", "1 g 0 0/0 d/f", "2 link 777 7/8 /etc/shadow",
		"5 mounted/ 777 0/0 ", "3 null 644 0/0 ", "2 out 777 0/0 /etc", "0 sparse 644 0/0 "}
	for i, w := range want {
		if w = strings.ReplaceAll(w, "mounted/ 777", "mounted/ 1777"); i >= len(got) || got[i] != w {
			t.Errorf("entry %d: got %q, want %q", i, slices.Clip(got[min(i, len(got)):min(i+1, len(got))]), w)
		}
	}
	var st unix.Stat_t
	if unix.Fstat(int(out.Fd()), &st); st.Size < 8*mib || st.Blocks > 200 {
		t.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
	}
	o.Limit = mib
	if err := Directory(t.Context(), o, dir, out); err == nil || !strings.Contains(err.Error(), "is more than 1 MiB") {
		t.Errorf("got %v", err)
	}
}
