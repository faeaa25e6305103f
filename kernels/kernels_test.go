package kernels

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestManifest(t *testing.T) {
	m := &Manifest{Name: "x", Made: time.Unix(1, 0).UTC(), Release: "6.1", Transports: []string{"vector"}, SKAS: []string{"ptrace"}, Modules: 3}
	got, err := readManifest(bytes.NewReader(m.text()))
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                               "is no manifest",
		"{}":                             "says no release",
		`{"release": 6}`:                 "is no manifest",
		`{"release": "6.1"} x`:           "is no manifest",
		strings.Repeat(" ", 1<<20) + "{": "is larger than 1048576 bytes",
	} {
		if _, err := readManifest(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add((&Manifest{Name: "x", Release: "6.1", Early: []string{"ipv6"}}).text())
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := readManifest(bytes.NewReader(text))
		if err != nil {
			return
		}
		if again, err := readManifest(bytes.NewReader(m.text())); err != nil || !bytes.Equal(m.text(), again.text()) {
			t.Errorf("%q: got %+v, then %+v, %v", text, m, again, err)
		}
		Print(&bytes.Buffer{}, []Kernel{{Manifest: m}})
	})
}

func TestNames(t *testing.T) {
	for name, is := range map[string]bool{"user-mode-linux": true, "g++": true, "0ad": true, "a": false, "-x": false, "x/y": false, "./x": false, "X": false, "": false} {
		if isPackage(name) != is {
			t.Errorf("package %q: got %v", name, !is)
		}
	}
	for name, is := range map[string]bool{"debian-6.1": true, "default": false, ".new": false, "a b": false, "": false, "..": false, "a/b": false} {
		if (checkName(name) == nil) != is {
			t.Errorf("kernel %q: got %v", name, !is)
		}
	}
}

func TestNameOf(t *testing.T) {
	dir := t.TempDir()
	s := &Store{Dir: filepath.Join(dir, "kernels")}
	for _, err := range []error{os.MkdirAll(filepath.Join(s.Dir, "a"), 0o755), os.Symlink("a", filepath.Join(s.Dir, "default")), os.WriteFile(s.image("a"), nil, 0o644), os.Symlink(s.Dir, filepath.Join(dir, "link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		s.image("a"): "a", s.image("default"): "a", filepath.Join(dir, "link/default/linux"): "a",
		s.image("gone"): "gone", s.Dir: "", s.Dir + "/linux": "", s.Dir + "/.new/linux": "", "/usr/bin/linux.uml": "", "linux": "", "": "",
	} {
		if got := s.nameOf(file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}

// build makes a real package of a tree that a script makes.
func build(t *testing.T, script string) *os.File {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", "umask 022; mkdir -p p/DEBIAN p/usr/bin p/usr/lib/uml/modules; printf 'Package: p\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n' >p/DEBIAN/control; cd p;"+script+"; cd ..; dpkg-deb -Zgzip -z1 -b p p.deb")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(filepath.Join(dir, "p.deb"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Of a package come its modules and its one kernel, and nothing else.
func TestUnpack(t *testing.T) {
	f := build(t, "cp /usr/bin/linux.uml usr/bin/k; cp /bin/true usr/bin/t; mkdir -p usr/lib/uml/modules/6.1/a; echo x >usr/lib/uml/modules/6.1/a/b.ko; ln -s /etc/shadow usr/lib/uml/modules/6.1/c.ko; mkfifo usr/lib/uml/modules/6.1/d.ko")
	work := t.TempDir()
	s, err := unpack(f, work)
	if err != nil {
		t.Fatal(err)
	}
	defer s.image.Close()
	if filepath.Base(s.image.Name()) != "k" || s.label != "p.deb" {
		t.Errorf("got %s, %s", s.image.Name(), s.label)
	}
	out, err := exec.Command("sh", "-ec", "cd $0; find . -type f | grep modules; find . ! -type f ! -type d", s.modules).CombinedOutput()
	if want := "./6.1/a/b.ko\n"; string(bytes.ReplaceAll(out, []byte("modules/"), nil)) != want && err == nil {
		t.Errorf("got %s", out)
	}
	for script, want := range map[string]string{
		"cp /bin/true usr/bin/t":                                                     "is a program, but not a user-mode Linux kernel",
		"cp /bin/true usr/bin/t; cp /bin/false usr/bin/f":                            "has no user-mode Linux kernel in it",
		"echo x >usr/bin/t; chmod 755 usr/bin/t":                                     "has no user-mode Linux kernel in it",
		"cp /usr/bin/linux.uml usr/bin/a; ln -s a usr/bin/c; cp usr/bin/a usr/bin/b": "has more than one kernel",
	} {
		if _, err := unpack(build(t, script), t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", script, err, want)
		}
	}
}

// Links, which may lead anywhere, are no modules, and the same tree has the same id.
func TestCopyTree(t *testing.T) {
	from := t.TempDir()
	out, err := exec.Command("sh", "-ec", "cd $0; mkdir -p kernel/a; echo x >kernel/a/b.ko; echo y >kernel/c.ko.xz; echo z >modules.dep; ln -s /etc/shadow kernel/d.ko; ln -s / build; mkfifo kernel/e.ko", from).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ids := map[string]bool{}
	for range 2 {
		to := t.TempDir()
		tree, err := copyTree(from, to, "6.1")
		if err != nil {
			t.Fatal(err)
		}
		if tree.modules != 2 || tree.blocks != 6 {
			t.Errorf("got %+v", tree)
		}
		ids[tree.id()] = true
		out, err := exec.Command("sh", "-ec", "cd $0; find . ! -type d | sort; find . -type l", to).Output()
		if want := "./6.1/kernel/a/b.ko\n./6.1/kernel/c.ko.xz\n./6.1/modules.dep\n"; string(out) != want || err != nil {
			t.Errorf("got %s, %v", out, err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("ids %v", ids)
	}
	if _, err := copyTree(filepath.Join(from, "gone"), t.TempDir(), "6.1"); err == nil {
		t.Error("took what is not there")
	}
}
