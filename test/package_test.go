package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A package is what make install puts, all of it, and the same bytes wherever and
// whenever it is made of one commit.
func TestPackage(t *testing.T) {
	t.Parallel()
	run := func(env, name string, args ...string) string {
		c := exec.Command(name, args...)
		c.Dir = ".."
		c.Env = append(os.Environ(), env)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	made := map[string][]byte{}
	for _, env := range []string{"TZ=UTC", "TZ=Asia/Tokyo"} {
		dir := t.TempDir()
		run(env, "make", "-s", "deb", "rpm", "OUT="+dir, "UML_BIN=", "VERSION=")
		for _, kind := range []string{"deb", "rpm"} {
			files, err := filepath.Glob(filepath.Join(dir, "*."+kind))
			if err != nil || len(files) != 1 {
				t.Fatalf("%s: %v, %v", kind, files, err)
			}
			text, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if made[kind] != nil && !bytes.Equal(made[kind], text) {
				t.Errorf("two %s of one commit differ", kind)
			}
			made[kind] = text
			if kind == "deb" && env == "TZ=UTC" {
				list := run(env, "dpkg-deb", "-c", files[0])
				stage := filepath.Join(dir, "plain")
				run(env, "make", "-s", "install", "DESTDIR="+stage, "PREFIX=/usr", "BIN="+filepath.Join(dir, "bin"), "LDFLAGS=-s -w")
				for _, file := range strings.Fields(run(env, "find", stage, "-type", "f", "-o", "-type", "l")) {
					file = strings.Replace(strings.TrimPrefix(file, stage), "site-functions", "vendor-completions", 1)
					if !strings.Contains(list, " ."+file) {
						t.Errorf("%s is installed, and not in the package", file)
					}
				}
			}
		}
	}
}
