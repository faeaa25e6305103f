package handle

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A link is followed where it lies in a directory of root's, and is root's.
func TestFollow(t *testing.T) {
	top := t.TempDir()
	must(t,
		os.MkdirAll(top+"/root/below/deep", 0o755), os.Mkdir(top+"/users", 0o755), os.Mkdir(top+"/users/own", 0o755),
		os.Symlink("below", top+"/root/relative"), os.Symlink(top+"/root/relative/deep", top+"/root/absolute"), os.Symlink("loop", top+"/root/loop"),
		os.Symlink("../root", top+"/root/up"), os.Symlink("../users", top+"/root/users"),
		os.Symlink("/etc", top+"/users/link"), os.Symlink("own", top+"/users/roots"),
		os.Symlink("below", top+"/root/given"), os.Lchown(top+"/root/given", 1, 1),
		os.Chown(top+"/users", 1, 1))
	for _, c := range []struct {
		name, want, wantErr string
	}{
		{"/root", "/root", ""},
		{"/root/", "/root", ""},
		{"/root/./below/../below", "/root/below", ""},
		{"/root/relative/deep", "/root/below/deep", ""},
		{"/root/absolute", "/root/below/deep", ""},
		{"/root/up/up/absolute/..", "/root/below", ""},
		{"/root/users/own", "/users/own", ""},
		{"/root/loop", "", "too many levels"},
		{"/root/nosuch", "", "no such file"},
		{"/users/link", "", `the symbolic link "link", which others`},
		{"/root/users/link/ssh", "", `the symbolic link "link", which others`},
		{"/users/roots", "", `the symbolic link "roots", which others`},
		{"/root/given", "", `the symbolic link "given", which others`},
	} {
		d, err := Follow(top + c.name)
		if c.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if real, err := d.Real(); real != top+c.want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", c.name, real, err, c.want)
		}
		must(t, d.Close())
	}
	if _, err := Follow(top + "/root/nosuch/x"); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	t.Chdir(top + "/root")
	if d, err := Follow("relative"); err != nil {
		t.Error(err)
	} else if real, _ := d.Real(); real != top+"/root/below" {
		t.Errorf("relative: got %s", real)
	}
}
