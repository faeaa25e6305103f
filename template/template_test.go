package template

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uml/fault"
)

// store is one below a directory that is root's alone.
func store(t *testing.T) *Store {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "uml-template-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := Make(filepath.Join(dir, "templates"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) add(t *testing.T, name string, at time.Time) *Template {
	t.Helper()
	file := filepath.Join(s.Dir, "staged")
	if err := os.WriteFile(file, []byte(name), 0o444); err != nil {
		t.Fatal(err)
	}
	m, err := s.Add(file, Manifest{Name: name, Stamp: Stamp(at), Made: at, Size: int64(len(name))})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func full(all []*Template) string {
	var names []string
	for _, t := range all {
		names = append(names, t.Full())
	}
	return strings.Join(names, " ")
}

func TestStore(t *testing.T) {
	s := store(t)
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.add(t, "web", then.Add(time.Hour))
	s.add(t, "web", then)
	s.add(t, "web.2", then)
	all, err := s.All()
	if got := full(all); got != "web@20260102T030405Z web@20260102T040405Z web.2@20260102T030405Z" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	for name, want := range map[string]string{"web": "web@20260102T040405Z", "web@20260102T030405Z": "web@20260102T030405Z"} {
		if got, err := s.Find(name); err != nil || got.Full() != want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"wep": "did you mean web", "web@20270102T030405Z": "no template web@", "../web": "is no name", "web@x": "is no stamp", "web@20261302T030405Z": "is no stamp"} {
		if _, err := s.Find(name); fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What one that was killed has left is no template, and goes; what is another's stays.
func TestSweep(t *testing.T) {
	s := store(t)
	whole := s.add(t, "web", time.Now())
	other := s.add(t, "mail", time.Now())
	if err := os.Remove(other.Image()); err != nil { // killed before the image had its name
		t.Fatal(err)
	}
	for _, name := range []string{".new/web/jail/ubd0", ".x" + manifest, "notes.json", "mine" + image, "a@b" + manifest} {
		file := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.All(); full(all) != whole.Full() || err != nil {
		t.Errorf("got %s, %v", full(all), err)
	}
	swept, err := s.Sweep()
	if len(swept) != 3 || err != nil {
		t.Errorf("swept %q, %v", swept, err)
	}
	for _, stays := range []string{"notes.json", "mine" + image, "a@b" + manifest} {
		if _, err := os.Stat(filepath.Join(s.Dir, stays)); err != nil {
			t.Error(err)
		}
	}
}

func TestLock(t *testing.T) {
	s := store(t)
	one, err := s.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(); fault.Code(err) != fault.MayPass || !strings.Contains(err.Error(), "another build") {
		t.Errorf("got %v", err)
	}
	one.Close()
	two, err := s.Lock()
	if err != nil {
		t.Fatal(err)
	}
	two.Close()
}

func TestDamaged(t *testing.T) {
	s := store(t)
	w := s.add(t, "web", time.Now())
	s.add(t, "mail", time.Now())
	for text, want := range map[string]string{"{": "unexpected end", `{"name": "x"}`: "is the manifest of", string((&Manifest{Name: w.Name, Stamp: w.Stamp, Size: 9}).encode()): "is no image of 9 bytes"} {
		if err := os.WriteFile(w.manifest(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		all, err := s.All()
		if len(all) != 1 || fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v", text, full(all), err)
		}
	}
}

// The digest is that of sha256sum, whatever of the file is holes.
func TestDigest(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 5<<20 + 123
	want := make([]byte, size)
	for _, at := range []int{0, 1 << 20, 3<<20 + 5} {
		copy(want[at:], "some data")
		if _, err := f.WriteAt([]byte("some data"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	told := int64(0)
	got, err := Digest(t.Context(), f, size, func(n int64) { told += n })
	if sum := sha256.Sum256(want); got != hex.EncodeToString(sum[:]) || err != nil || told != size {
		t.Errorf("got %s, %v, told of %d", got, err, told)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("web@20260102T030405Z")
	f.Fuzz(func(t *testing.T, s string) {
		name, stamp, err := ParseName(s)
		if err != nil {
			return
		}
		if back := name + "@" + stamp; strings.ContainsAny(s, "/\x00 ") || s != name && s != back {
			t.Errorf("%q: got %q, %q", s, name, stamp)
		}
	})
}
