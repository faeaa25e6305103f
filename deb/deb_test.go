package deb

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// ar makes an archive of names and texts.
func ar(members ...string) []byte {
	b := []byte(arMagic)
	for i := 0; i < len(members); i += 2 {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", members[i], 0, 0, 0, "100644", len(members[i+1]), members[i+1])
		if len(members[i+1])&1 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

func tarOf(t testing.TB, headers ...tar.Header) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Size = 0
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, h.Name)
		}
	}
	w.Close()
	return b.String()
}

func packed(t testing.TB, kind, text string) string {
	cmd := exec.Command(map[string]string{".gz": "gzip", ".xz": "xz", ".zst": "zstd"}[kind], "-c")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func list(b []byte) (string, error) {
	var all []string
	err := Each(bytes.NewReader(b), func(f File, text io.Reader) error {
		got, err := io.ReadAll(text)
		all = append(all, fmt.Sprintf("%s %d %v %d", f.Name, f.Size, f.Executable, len(got)))
		return err
	})
	return strings.Join(all, "\n"), err
}

func TestEach(t *testing.T) {
	files := tarOf(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir},
		tar.Header{Name: "./usr/bin/x", Typeflag: tar.TypeReg, Mode: 0o755},
		tar.Header{Name: "./usr/bin/y", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"},
		tar.Header{Name: "./usr/bin/z", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"},
		tar.Header{Name: "./dev/sda", Typeflag: tar.TypeBlock},
		tar.Header{Name: "usr/a/../y", Typeflag: tar.TypeReg, Mode: 0o644})
	for ending, data := range map[string]string{"": files, ".gz": packed(t, ".gz", files), ".xz": packed(t, ".xz", files), ".zst": packed(t, ".zst", files)} {
		got, err := list(ar("debian-binary", "2.0\n", "control.tar", "odd", "data.tar"+ending, data))
		if want := "usr/bin/x 11 true 11\nusr/y 10 false 10"; got != want || err != nil {
			t.Errorf("%q: got %q, %v", ending, got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	good := tarOf(t, tar.Header{Name: "x", Typeflag: tar.TypeReg})
	x := packed(t, ".xz", good)
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":     {nil, "is no Debian package"},
		"other":       {[]byte("\x7fELF"), "is no Debian package"},
		"other ar":    {ar("a.o/", ""), "no Debian package (its first member is \"a.o\")"},
		"no data":     {ar("debian-binary", "2.0\n"), "no member data.tar"},
		"header":      {append(ar("debian-binary", "2.0\n"), bytes.Repeat([]byte("x"), 60)...), "is damaged: a member's header"},
		"negative":    {bytes.Replace(ar("debian-binary", "2.0\n"), []byte("4   "), []byte("-9  "), 1), "is damaged: a member's header"},
		"lzma":        {ar("debian-binary", "2.0\n", "data.tar.lzma", "x"), "only .gz, .xz and .zst can be read"},
		"out":         {ar("debian-binary", "2.0\n", "data.tar", tarOf(t, tar.Header{Name: "a/../../x", Typeflag: tar.TypeReg})), "which no package has"},
		"absolute":    {ar("debian-binary", "2.0\n", "data.tar", tarOf(t, tar.Header{Name: "/x", Typeflag: tar.TypeReg})), "which no package has"},
		"cut":         {ar("debian-binary", "2.0\n", "data.tar.xz", x[:len(x)-40]), "is damaged"},
		"cut gz":      {ar("debian-binary", "2.0\n", "data.tar.gz", packed(t, ".gz", good)[:30]), "is damaged"},
		"no xz":       {ar("debian-binary", "2.0\n", "data.tar.xz", good), "is damaged"},
		"dictionary":  {ar("debian-binary", "2.0\n", "data.tar.xz", dictionaryOf(x, 40)), "is damaged"},
		"dictionary+": {ar("debian-binary", "2.0\n", "data.tar.xz", dictionaryOf(x, 63)), "is damaged"},
	} {
		if _, err := list(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// dictionaryOf changes the size of the first block's dictionary.
func dictionaryOf(x string, size byte) string {
	b := []byte(x)
	at := 12 + bytes.Index(b[12:], []byte{0x21, 1}) + 2
	b[at] = size
	return string(b)
}

// A small package that unpacks to much is not read to its end.
func TestBomb(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 1 << 20})
	w.Write(make([]byte, 1<<20))
	text := packed(t, ".gz", b.String())
	err := each(bytes.NewReader(ar("debian-binary", "2.0\n", "data.tar.gz", text)), 1024, func(_ File, text io.Reader) error {
		_, err := io.Copy(io.Discard, text)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "is more than 1024 bytes unpacked") {
		t.Errorf("got %v", err)
	}
}

func FuzzEach(f *testing.F) {
	files := tarOf(f, tar.Header{Name: "./usr/bin/x", Typeflag: tar.TypeReg, Mode: 0o755}, tar.Header{Name: "y", Typeflag: tar.TypeSymlink, Linkname: "x"})
	for _, ending := range []string{"", ".gz", ".xz", ".zst"} {
		data := files
		if ending != "" {
			data = packed(f, ending, files)
		}
		f.Add(ar("debian-binary", "2.0\n", "data.tar"+ending, data))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		Each(bytes.NewReader(b), func(file File, text io.Reader) error {
			n, err := io.Copy(io.Discard, io.LimitReader(text, 1<<20))
			if !local(file.Name) || n > file.Size || err == nil && n < min(file.Size, 1<<20) {
				t.Errorf("%+v: %d bytes, %v", file, n, err)
			}
			return err
		})
	})
}
