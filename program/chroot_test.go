package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The libraries are all that real programs need to start in an empty root: a
// user-mode Linux kernel, and one with libraries that need libraries.
func TestLibrariesInChroot(t *testing.T) {
	for _, name := range []string{"/usr/bin/linux.uml", "/bin/ls", "/bin/bash"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			libraries := realLibraries(t, name)
			root := t.TempDir()
			copyTo(t, name, filepath.Join(root, "program"))
			for _, l := range libraries {
				copyTo(t, l.Path, filepath.Join(root, l.Jail))
			}
			out, err := exec.Command("chroot", root, "/program", "--version").CombinedOutput()
			if err != nil || len(out) == 0 {
				t.Errorf("with %v: got %q, %v, want a version", libraries, out, err)
			}
		})
	}
}

func realLibraries(t *testing.T, name string) []Library {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := Inspect(f, "program")
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Libraries()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}
