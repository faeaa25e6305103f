package handle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKnown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, file+".link"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + ".link", "/dev/null", "/proc/self/root", "/"} {
		var want unix.Stat_t
		if err := unix.Stat(name, &want); err != nil {
			t.Fatal(err)
		}
		got, err := Known(name)
		if err != nil || got.Dev != want.Dev || got.Ino != want.Ino || got.Mode != want.Mode || got.Rdev != want.Rdev || got.Uid != want.Uid || got.Gid != want.Gid {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	if _, err := Known(file + ".none"); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}
