package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"uml/fault"
	"uml/test/lab"
)

// templateLab is one in which templates are made.
func templateLab(t *testing.T) *lab.Lab {
	t.Helper()
	l := lab.New(t)
	l.OwnEtc()
	return l
}

// A tarred is an entry of an archive and what is in it.
type tarred struct {
	tar.Header
	text string
}

func tarOf(t *testing.T, entries ...tarred) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.Typeflag == 0 {
			e.Typeflag = tar.TypeReg
		}
		e.Size = int64(len(e.text))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// system is what a template is made of here: the files that tell what it is, and each kind
// of file that a host would not like to have.
func system(t *testing.T) []byte {
	return tarOf(t,
		tarred{tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, ""},
		tarred{tar.Header{Name: "./etc/os-release", Mode: 0o644}, "ID=debian\nPRETTY_NAME=\"A system \\\"of\\\" tests\"\n"},
		tarred{tar.Header{Name: "./var/lib/dpkg/status", Mode: 0o644}, "Package: hello\nStatus: install ok installed\nVersion: 1:2-3\n"},
		tarred{tar.Header{Name: "./bin/su", Mode: 0o4755}, "set-uid"},
		tarred{tar.Header{Name: "./bin/ping", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}}, "capable"},
		tarred{tar.Header{Name: "./bin/ping6", Typeflag: tar.TypeLink, Linkname: "./bin/ping"}, ""},
		tarred{tar.Header{Name: "./home/x", Mode: 0o600, Uid: 1000, Gid: 1001}, "x"},
		tarred{tar.Header{Name: "./dev/mem", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 1}, ""},
		tarred{tar.Header{Name: "./out", Typeflag: tar.TypeSymlink, Linkname: "../../../../etc/shadow"}, ""},
	)
}

// image is an archive of docker save, of two layers.
func savedImage(t *testing.T, layers ...[]byte) []byte {
	t.Helper()
	img := empty.Image
	for _, text := range layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil })
		if err == nil {
			img, err = mutate.AppendLayers(img, l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	tag, err := name.NewTag("x:1")
	if err == nil {
		err = tarball.Write(tag, img, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(b []byte) []byte {
	var to bytes.Buffer
	w := gzip.NewWriter(&to)
	w.Write(b)
	w.Close()
	return to.Bytes()
}

func put(t *testing.T, l *lab.Lab, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(l.Dir, name)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Each kind of source becomes the same filesystem, and nothing of it a file of the host.
func TestTemplateSources(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	archive := put(t, l, "system.tar", system(t))
	tree := filepath.Join(l.Dir, "tree")
	l.Must("sh", "-ec", "mkdir "+tree+"; tar --xattrs --xattrs-include='*' -xpf "+archive+" -C "+tree)
	raw := filepath.Join(l.Dir, "raw.img")
	l.Must("mkfs.ext4", "-q", "-b", "4096", "-E", "root_owner=0:0", "-d", tree, raw, "24M")
	gone := tarOf(t, tarred{tar.Header{Name: "bin/gone", Mode: 0o644}, "x"})
	over := tarOf(t, tarred{tar.Header{Name: "bin/.wh.gone", Mode: 0o644}, ""})
	for kind, source := range map[string]string{
		"dir": tree, "tar": archive, "gz": put(t, l, "system.tar.gz", gzipped(system(t))), "raw": raw,
		"oci": put(t, l, "image", savedImage(t, gone, system(t), over)),
	} {
		args := []string{"uml-template", "build", kind, source, "--size", "24M"}
		if kind == "raw" {
			args = args[:4]
		}
		full := strings.TrimSpace(l.Must(args...))
		image := lab.Templates + "/" + full + ".img"
		for file, want := range map[string]string{
			"/bin/su":    "regular 04755 0 0",
			"/home/x":    "regular 0600 1000 1001",
			"/dev/mem":   "character special 0666 0 0",
			"/out":       "symlink 0777 0 0",
			"/bin/ping6": "regular 0755 0 0",
		} {
			if kind == "oci" && file == "/out" { // the library leaves it out
				want = ""
			}
			if got := inImage(l, image, file); got != want {
				t.Errorf("%s: %s: got %q, want %q", kind, file, got, want)
			}
		}
		if got := l.Run("debugfs", "-R", "ea_get -x /bin/ping security.capability", image).Out; !strings.Contains(got, "01 00 00 02 00 20") {
			t.Errorf("%s: capability: %q", kind, got)
		}
		if got := inImage(l, image, "/bin/gone"); got != "" {
			t.Errorf("%s: a whiteout left %q", kind, got)
		}
		if got := l.Must("uml-template", "show", kind); !strings.Contains(got, `A system`) || !strings.Contains(got, "packages     1, by dpkg") {
			t.Errorf("%s: %s", kind, got)
		}
		if st := l.Must("stat", "-c", "%a %U %s", image); st != "444 root 25165824\n" {
			t.Errorf("%s: %s", kind, st)
		}
	}
	if got := l.Must("uml-template", "show", "--packages", "tar"); got != "hello 1:2-3\n" {
		t.Errorf("packages: %q", got)
	}
	if got := strings.Count(l.Must("uml-template", "verify"), "as it was made, and sound"); got != 5 {
		t.Errorf("verified: %d", got)
	}
	onlyPairs(t, l, 5)
}

// inImage is kind, mode and owner of a file, by debugfs; "" if there is none.
func inImage(l *lab.Lab, image, file string) string {
	f := strings.Fields(l.Run("debugfs", "-R", "stat "+file, image).Out)
	field := func(name string) string {
		for i := range f {
			if f[i] == name {
				return f[i+1]
			}
		}
		return ""
	}
	if len(f) == 0 {
		return ""
	}
	kind := field("Type:")
	if kind == "character" {
		kind += " special"
	}
	return fmt.Sprintf("%s %s %s %s", kind, field("Mode:"), field("User:"), field("Group:"))
}

// onlyPairs: so many templates are in the store, and nothing else; nobody works on it.
func onlyPairs(t *testing.T, l *lab.Lab, want int) {
	t.Helper()
	names := strings.Fields(l.Must("ls", "-A", lab.Templates, lab.Templates+"/.new"))
	rest := 0
	for _, n := range names {
		if !strings.Contains(n, "@") && n != ".lock" && n != ".new" && !strings.HasSuffix(n, ":") {
			t.Errorf("%s is left", n)
		}
		if strings.Contains(n, "@") {
			rest++
		}
	}
	if rest != 2*want {
		t.Errorf("%d files of %d templates: %q", rest, want, names)
	}
	if odd := l.Must("find", lab.Templates, "-perm", "/6000", "-o", "-type", "b", "-o", "-type", "c", "-o", "-type", "l"); odd != "" {
		t.Errorf("on the host lies %s", odd)
	}
	l.Wait("the guests' end", func() bool { return len(guests(l)) == 0 })
}

func guests(l *lab.Lab) []int {
	return l.Processes(func(s lab.Status) bool {
		return s["Name"] == "linux" || s["Name"] == "mmdebstrap" || s["Name"] == "uml-run"
	})
}

// sparse is an old GNU header of a file of 4 PiB, all of it a hole.
func sparse4P() []byte {
	h := make([]byte, 512)
	copy(h, "huge")
	copy(h[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	big := func(at int) { // base 256: 1<<52
		h[at] = 0x80
		h[at+5] = 0x10
	}
	big(386)
	copy(h[398:], "00000000000\x00")
	big(483)
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(h, make([]byte, 1024)...)
}

// many are headers of so many empty files, without an end.
func many(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range n {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%d/%d", i/1000, i), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	return b.Bytes()
}

// What is no template of anybody's is refused with a word on why, and leaves nothing.
func TestTemplateRefuses(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	file := func(name string, text []byte) string { return put(t, l, name, text) }
	small := filepath.Join(l.Dir, "small.img")
	l.Must("mkfs.ext4", "-q", "-b", "1024", small, "16M")
	parts := filepath.Join(l.Dir, "parts.img")
	l.Must("sh", "-ec", "truncate -s 16M "+parts+"; echo 2048,,83 | sfdisk -q "+parts)
	cow := filepath.Join(l.Dir, "cow")
	base := filepath.Join(l.Dir, "base")
	l.Must("uml-disk", "create", base, "16M")
	l.Must("uml-disk", "cow", "create", base, cow)
	image := savedImage(t, tarOf(t, tarred{tar.Header{Name: "x", Mode: 0o644}, "text"}))
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{"leads out of where it is unpacked", 100, []string{file("dots", tarOf(t, tarred{tar.Header{Name: "a/../../../etc/cron.d/x", Mode: 0o644}, "x"}))}},
		{"l: leads out", 100, []string{file("link", tarOf(t, tarred{tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../../etc/shadow"}, ""}))}},
		{"and there are more (make it larger: --size)", 100, []string{file("many", many(t, 40_000)), "--size", "64M"}},
		{"is more than 256 MiB", 100, []string{file("ten-million.gz", bytes.Repeat(gzipped(many(t, 100_000)), 100)), "--size", "256M"}},
		{"huge: is 4503599627370496 bytes, and the filesystem", 100, []string{file("sparse", sparse4P())}},
		{"is more than 64 MiB", 100, []string{file("bomb", gzipped(make([]byte, 256<<20))), "--size", "64M"}},
		{"is full, after", 100, []string{file("full", tarOf(t, tarred{tar.Header{Name: "a", Mode: 0o644}, strings.Repeat("x", 11<<20)}, tarred{tar.Header{Name: "b", Mode: 0o644}, strings.Repeat("x", 11<<20)})), "--size", "24M"}},
		{"was changed or damaged", 100, []string{file("lie", bytes.Replace(image, []byte(`"rootfs"`), []byte(`"r00tfs"`), 1))}},
		{"blocks of 1024", 100, []string{small}},
		{"partition", 100, []string{parts}},
		{"is a COW file", 100, []string{cow}},
		{"is neither a tar archive nor", 100, []string{file("text", []byte(strings.Repeat("hello\n", 1000)))}},
		{"no such file", 100, []string{l.Dir + "/none"}},
		{"is neither a file nor a directory", 100, []string{"/dev/null"}},
		{"is no suite", 100, []string{"debian:--help"}},
		{"is no name of a package", 100, []string{"debian:bookworm", "--include", "a,--b"}},
		{"are for debian:SUITE", 100, []string{small, "--include", "a"}},
		{"mmdebstrap: ", 111, []string{"debian:bookworm", "--mirror", "http://192.0.2.77/debian"}},
		{"is too small", 100, []string{small, "--size", "1M"}},
		{"--kernel", 100, []string{base, "--kernel", "/none"}},
	} {
		r := l.Run(append([]string{"uml-template", "build", "x"}, c.args...)...)
		if r.Code != c.code || !strings.Contains(r.Err, c.want) || r.Out != "" {
			t.Errorf("%q: want %d, %q: got %d, %s%s", c.args, c.code, c.want, r.Code, r.Out, r.Err)
		}
	}
	for _, name := range []string{"a/b", "../x", "a b", "x@20260102T030405Z", "-x", "", strings.Repeat("x", 64)} {
		if r := l.Run("uml-template", "build", "--", name, base); r.Code != fault.MustMend {
			t.Errorf("%q: %d, %s", name, r.Code, r.Err)
		}
	}
	if r := l.Run("flock", lab.Templates+"/.lock", "uml-template", "build", "x", base); r.Code != fault.MayPass || !strings.Contains(r.Err, "another build") {
		t.Errorf("twice: %d, %s", r.Code, r.Err)
	}
	onlyPairs(t, l, 0)
}

// Filesystems that were made to be wrong: no template, or one that e2fsck finds sound.
func TestTemplateDamaged(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	archive := put(t, l, "system.tar", system(t))
	tree := filepath.Join(l.Dir, "tree")
	l.Must("sh", "-ec", "mkdir "+tree+"; tar -xpf "+archive+" -C "+tree)
	made := 0
	for seed := range uint64(12) {
		raw := filepath.Join(l.Dir, "raw.img")
		l.Must("sh", "-ec", "rm -f "+raw+"; mkfs.ext4 -q -b 4096 -d "+tree+" "+raw+" 24M")
		f, err := os.OpenFile(raw, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 8))
		for range 1 + seed*4 {
			at := int64(1024 + r.IntN(400<<10)) // superblock, group descriptors, bitmaps, inodes
			if _, err := f.WriteAt([]byte{byte(r.Uint32())}, at); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		switch got := l.Run("uml-template", "build", "x", raw); got.Code {
		case 0:
			made++
			l.Must("uml-template", "verify")
		case fault.MustMend:
			t.Log(got.Err)
		default:
			t.Errorf("seed %d: %d, %s", seed, got.Code, got.Err)
		}
	}
	onlyPairs(t, l, made)
}

// A store without room: said before the work, and survived where it comes in the middle.
func TestTemplateNoRoom(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	big := put(t, l, "big.tar", tarOf(t, tarred{tar.Header{Name: "big", Mode: 0o644}, string(noise(100 << 20))}))
	for size, want := range map[string]string{"40M": "no room for it", "190M": "MiB of room, and some"} {
		l.Must("mount", "-t", "tmpfs", "-o", "mode=755,size="+size, "tmpfs", lab.Templates)
		r := l.Run("uml-template", "build", "x", big)
		if r.Code != fault.MayPass || !strings.Contains(r.Err, want) {
			t.Errorf("%s: %d, %s", size, r.Code, r.Err)
		}
		onlyPairs(t, l, 0)
		l.Must("umount", lab.Templates)
	}
	l.Must("mount", "-t", "tmpfs", "-o", "mode=755,size=300M", "tmpfs", lab.Templates)
	r := l.Run("sh", "-c", "{ while [ ! -e "+lab.Templates+"/.new/x/settings ]; do sleep .01; done; dd if=/dev/zero of="+lab.Templates+"/filler bs=1M 2>/dev/null; } & uml-template build x "+big)
	if r.Code != fault.MayPass || !strings.Contains(r.Err, "has no room left") {
		t.Errorf("in the middle: %d, %s", r.Code, r.Err)
	}
	l.Must("rm", lab.Templates+"/filler")
	onlyPairs(t, l, 0)
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{8})
	r.Read(b)
	return b
}

// However a build is ended, list shows what is whole, and gc removes the rest.
func TestTemplateKilled(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	archive := put(t, l, "big.tar", tarOf(t, tarred{tar.Header{Name: "big", Mode: 0o644}, string(noise(20 << 20))}))
	made := 0
	for i := range 12 {
		script := fmt.Sprintf("timeout -s KILL 0.%02d uml-template build x %s", 8*i+2, archive)
		if i%3 == 2 {
			script = strings.Replace(script, "KILL", "INT", 1)
		}
		if r := l.Run("sh", "-c", script); r.Code == 0 {
			made++
		}
		if got := strings.Count(l.Must("uml-template", "list"), "x@"); got < made {
			t.Errorf("round %d: %d of %d are listed", i, got, made)
		} else {
			made = got // one that was killed at its last step
		}
	}
	l.Must("uml-template", "gc")
	onlyPairs(t, l, made)
	// The guest of one that was killed is in the way of none.
	l.Run("sh", "-c", "uml-template build x "+archive+" & while [ ! -e "+lab.Templates+"/.new/x/lock ]; do sleep .01; done; sleep .1; kill -9 $!")
	if len(guests(l)) == 0 {
		t.Error("the guest ended before")
	}
	l.Must("uml-template", "build", "x", archive)
	l.Must("uml-template", "verify")
	if r := l.Run("pgrep", "-u", "uml-template"); r.Code == 0 {
		t.Errorf("left: %s", r.Out)
	}
}

// A template stays while a machine's disc is it or stands on it.
func TestTemplateRemove(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	archive := put(t, l, "system.tar", system(t))
	old := strings.TrimSpace(l.Must("uml-template", "build", "x", archive, "--size", "24M"))
	newer := strings.TrimSpace(l.Must("uml-template", "build", "x", archive, "--size", "24M"))
	other := strings.TrimSpace(l.Must("uml-template", "build", "y", archive, "--size", "24M"))
	image := func(full string) string { return lab.Templates + "/" + full + ".img" }
	m := l.Machine("guest", lab.Settings{"ubd1": "cow," + image(old), "ubd2": image(other) + " flags=r"})
	l.Must("uml-disk", "cow", "create", image(old), m.Jail+"/cow")
	for _, name := range []string{old, "y"} {
		if r := l.Run("uml-template", "remove", name); r.Code != fault.MustMend || !strings.Contains(r.Err, "stand on it: guest's ubd") {
			t.Errorf("%s: %d, %s", name, r.Code, r.Err)
		}
	}
	if got := l.Must("uml-template", "show", old); !strings.Contains(got, "guest's ubd1 (cow)") {
		t.Errorf("show: %s", got)
	}
	if r := l.Run("uml-template", "remove", "x"); r.Code != fault.MustMend || !strings.Contains(r.Err, "there are 2 of it") {
		t.Errorf("of two: %d, %s", r.Code, r.Err)
	}
	// By its header alone.
	m.Unset("ubd1")
	l.Must("sh", "-ec", "mv "+m.Jail+"/cow "+m.Jail+"/ubd1")
	if r := l.Run("uml-template", "remove", "x", "--old"); r.Code != fault.MustMend || !strings.Contains(r.Err, "guest's ubd1") {
		t.Errorf("by its header: %d, %s", r.Code, r.Err)
	}
	l.Must("rm", m.Jail+"/ubd1")
	l.Must("uml-template", "remove", "x", "--old")
	if got := l.Must("uml-template", "list"); strings.Contains(got, old) || !strings.Contains(got, newer) || !strings.Contains(got, other) {
		t.Errorf("list: %s", got)
	}
	m.Unset("ubd2")
	// Changed by somebody: verify says so.
	l.Must("sh", "-ec", "chmod 600 "+image(other)+"; printf x | dd of="+image(other)+" bs=1 seek=1000000 conv=notrunc status=none")
	if r := l.Run("uml-template", "verify", "y"); r.Code != fault.MustMend || !strings.Contains(r.Err, "is not as it was made") {
		t.Errorf("verify: %d, %s", r.Code, r.Err)
	}
	l.Must("uml-template", "remove", "y", "x")
	onlyPairs(t, l, 0)
}
