package handle

import (
	"os"
	"path/filepath"
	"testing"
)

// The file is the new one or the old one, whatever was left or stands in the way, and
// nothing is left beside it.
func TestReplace(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	d, err := OpenDir(at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	target := filepath.Join(t.TempDir(), "another's")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(target, "old")
	for name, left := range map[string]func(temp string) error{
		"nothing left": func(string) error { return nil },
		"a file left":  func(temp string) error { return os.WriteFile(temp, []byte("longer than what is written"), 0o600) },
		"a link left":  func(temp string) error { return os.Symlink(target, temp) },
	} {
		if err := left(filepath.Join(at, ".new")); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(at, "it"), "old")
		if err := d.Replace(".new", "it", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(filepath.Join(at, "it")); string(got) != name {
			t.Errorf("%s: got %q", name, got)
		}
		if st, err := os.Stat(filepath.Join(at, "it")); err != nil || st.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	if got, _ := os.ReadFile(target); string(got) != "old" {
		t.Errorf("what the link led to: %q", got)
	}

	if err := os.Mkdir(filepath.Join(at, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(at, "full/it"), "old")
	if err := d.Replace(".new", "full", "new"); err == nil {
		t.Error("a directory was replaced")
	}
	entries, _ := os.ReadDir(at)
	for _, e := range entries {
		if e.Name() == ".new" {
			t.Error("left beside it")
		}
	}
}
