package handle

import (
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// exchange swaps two names again and again until the test ends.
func exchange(t *testing.T, dir *Dir, a, b string) {
	t.Helper()
	var stop atomic.Bool
	done := make(chan error)
	go func() {
		var err error
		for err == nil && !stop.Load() {
			err = unix.Renameat2(dir.Fd(), a, dir.Fd(), b, unix.RENAME_EXCHANGE)
		}
		done <- err
	}()
	t.Cleanup(func() {
		stop.Store(true)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// While the owner turns a file, or a directory above it, into a link to the
// outside and back, no descriptor is ever of the outside.
func TestRacingOpen(t *testing.T) {
	for _, c := range []struct{ name, a, b, open string }{
		{"the file", "d/file", "filelink", "d/file"},
		{"the directory above", "d", "dirlink", "d/file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outside, inside := t.TempDir(), t.TempDir()
			write(t, outside+"/file", "secret")
			must(t, os.Mkdir(inside+"/d", 0o755), os.Symlink(outside, inside+"/dirlink"), os.Symlink(outside+"/file", inside+"/filelink"))
			write(t, inside+"/d/file", "")
			secret, err := Open(outside + "/file")
			if err != nil {
				t.Fatal(err)
			}
			defer secret.Close()
			d := openDir(t, inside)
			exchange(t, d, c.a, c.b)
			opened, refused := 0, 0
			for n := 0; n < 5000 || n < 1e6 && (opened == 0 || refused == 0); n++ {
				f, err := d.Open(c.open)
				if err != nil {
					refused++
					continue
				}
				if f.Same(&secret.Stat) {
					t.Fatal("got a descriptor of the outside")
				}
				if f.Regular() == nil {
					opened++
				} else {
					refused++
				}
				must(t, f.Close())
			}
			if opened == 0 || refused == 0 {
				t.Errorf("no race: %d opened, %d refused", opened, refused)
			}
		})
	}
}
