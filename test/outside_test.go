package test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"uml/test/lab"
)

// Outside is what a hostile guest's user is after: files that he could use if he
// could reach them, in a directory of root's that he cannot enter.
type outside struct {
	dir string
	ids map[string]string // path of each file by device and inode
	was string
}

func makeOutside(t *testing.T, l *lab.Lab) *outside {
	t.Helper()
	o := &outside{dir: filepath.Join(l.Dir, "outside")}
	l.Must("sh", "-ec", "umask 0; mkdir -m 700 "+o.dir+"; cd "+o.dir+`; mkdir dir dir/guest
		truncate -s 1M disc swap dir/disc
		cp /bin/busybox linux
		echo 1 >dir/guest/pid
		chmod 777 linux`)
	o.remember(t)
	return o
}

// remember takes the present state for the right one.
func (o *outside) remember(t *testing.T) {
	t.Helper()
	o.ids = map[string]string{}
	o.was = o.state(t)
}

// state is each file with content, mode, owner, links and times. The time of the
// last change of the inode is the kernel's word: no change can be undone.
func (o *outside) state(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(o.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		o.ids[fmt.Sprintf("%d:%d", st.Dev, st.Ino)] = path
		var text []byte
		if d.Type().IsRegular() {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(&all, "%s %v %d:%d links %d size %d mtime %v ctime %v %x\n",
			path, info.Mode(), st.Uid, st.Gid, st.Nlink, st.Size, st.Mtim, st.Ctim, sha256.Sum256(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// untouched reports what was changed outside.
func (o *outside) untouched(t *testing.T) {
	t.Helper()
	same(t, o.was, o.state(t))
}

// seen is what is of the outside in the lines that hostile look printed: files
// and descriptors, whatever their names are in the jail.
func (o *outside) seen(look string) (all []string) {
	for line := range strings.Lines(look) {
		if f := strings.Fields(line); len(f) > 2 && (f[0] == "file" || f[0] == "fd") && o.ids[f[2]] != "" {
			all = append(all, fmt.Sprintf("%s %s is %s", f[0], f[1], o.ids[f[2]]))
		}
	}
	return all
}

// buildHostile makes the hostile program, which a lab's users may run.
func buildHostile(t *testing.T, l *lab.Lab) string {
	t.Helper()
	file := filepath.Join(l.Dir, "hostile")
	build(t, file, "./test/hostile")
	return file
}

// build builds a program of the module, static.
func build(t *testing.T, file, pkg string, flags ...string) {
	t.Helper()
	args := append([]string{"go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-o", file}, flags...)
	cmd := exec.CommandContext(t.Context(), args[0], append(args[1:], pkg)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
}
