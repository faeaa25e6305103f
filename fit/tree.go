package fit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// A tree is a guest's root filesystem. Names in it have no slash at their beginning.
type tree struct{ root *os.Root }

// most is more than any file has that is edited here, in bytes.
const most = 1 << 20

// beside is what a file is called until it is whole.
const beside = ".uml-machine.new"

// is says what type of file name is, itself if it is a link; 0 and false if there is none.
func (t tree) is(name string) (fs.FileMode, bool) {
	st, err := t.root.Lstat(name)
	if err != nil {
		return 0, false
	}
	return st.Mode().Type(), true
}

func (t tree) has(name string) bool { _, there := t.is(name); return there }

// hasOne says whether one of the names is there, below any of the directories of programs.
func (t tree) program(names ...string) bool {
	for _, name := range names {
		for _, dir := range []string{"sbin", "usr/sbin", "bin", "usr/bin", "usr/local/sbin", "usr/local/bin"} {
			if t.has(path.Join(dir, name)) {
				return true
			}
		}
	}
	return false
}

func (t tree) isDir(name string) bool {
	st, err := t.root.Stat(name)
	return err == nil && st.IsDir()
}

// leads is the last part of where a link leads; "" if it is none.
func (t tree) leads(name string) string {
	to, err := t.root.Readlink(name)
	if err != nil {
		return ""
	}
	return path.Base(to)
}

// read is a file's text; "" of one that is not there, or whose link leads to none.
func (t tree) read(name string) (string, error) {
	st, err := t.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("/%s: is no regular file", name)
	}
	f, err := t.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("/%s: is over %d bytes", name, most)
	}
	return string(text), err
}

// write gives a file another text, and all of its directories are made. One that is there keeps
// owner and permissions.
func (t tree) write(name, text string, mode fs.FileMode) error {
	uid, gid := 0, 0
	st, err := t.root.Lstat(name)
	switch {
	case err == nil && st.IsDir():
		return fmt.Errorf("/%s: is a directory", name)
	case err == nil && st.Mode().IsRegular():
		if old, err := t.read(name); err == nil && old == text {
			return nil
		}
		mode = st.Mode().Perm()
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(s.Uid), int(s.Gid)
		}
	case err == nil || errors.Is(err, fs.ErrNotExist):
	default:
		return err
	}
	return t.replace(name, text, mode, uid, gid)
}

// private is write of what only root may read, whatever was there.
func (t tree) private(name, text string) error { return t.replace(name, text, 0o600, 0, 0) }

func (t tree) replace(name, text string, mode fs.FileMode, uid, gid int) (err error) {
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := path.Join(path.Dir(name), beside)
	if err := t.root.RemoveAll(temp); err != nil {
		return err
	}
	f, err := t.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.root.Remove(temp)
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chown(uid, gid), f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return t.root.Rename(temp, name)
}

// link makes a symbolic link, in place of a link or a file that is there.
func (t tree) link(to, name string) error {
	if old, err := t.root.Readlink(name); err == nil && old == to {
		return nil
	}
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := path.Join(path.Dir(name), beside)
	if err := t.root.RemoveAll(temp); err != nil {
		return err
	}
	if err := t.root.Symlink(to, temp); err != nil {
		return err
	}
	if err := t.root.Rename(temp, name); err != nil {
		t.root.Remove(temp)
		return err
	}
	return nil
}

// own gives a directory to root. That is by a descriptor: before Linux 6.6 no system call changes
// the mode of a name that may be a link (fchmodat2(2)).
func (t tree) own(dir string, mode fs.FileMode) error {
	f, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Chown(0, 0), f.Chmod(mode))
}

// remove takes a file or a link away, if it is there.
func (t tree) remove(name string) error {
	err := t.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// names are those in a directory, itself no link, at most so many in no order; none if there is
// no such directory.
func (t tree) names(dir string, limit int) ([]string, error) {
	if kind, there := t.is(dir); !there || kind != fs.ModeDir {
		return nil, nil
	}
	d, err := t.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(limit)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

// lines are a text's, without their ends.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func unlines(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}
