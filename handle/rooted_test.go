package handle

import (
	"os"
	"testing"
	"time"

	"uml/fault"
)

// Above a relative path there is no root to arrive at.
func TestRooted(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	must(t, os.Mkdir("d", 0o755), os.Mkdir("wide", 0o777), os.Chmod("wide", 0o777), os.Symlink("d", "link"))
	for name, code := range map[string]int{
		"/": fault.OK, dir: fault.OK, dir + "/d": fault.OK, "/tmp": fault.OK,
		".": fault.MustMend, "d": fault.MustMend, "./d": fault.MustMend, "": fault.MustMend,
		dir + "/wide": fault.MustMend, dir + "/link": fault.MustMend, dir + "/none": fault.MayPass,
	} {
		got := make(chan error, 1)
		go func() { got <- Rooted(name) }()
		select {
		case err := <-got:
			if fault.Code(err) != code {
				t.Errorf("%q: got %v, want exit %d", name, err, code)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q: no end", name)
		}
	}
}
