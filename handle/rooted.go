package handle

import (
	"os"
	"path"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// Rooted checks a directory, named without links, and all above it: nobody but
// root can put another file where one of root's is. In a sticky one (/tmp) nobody
// can replace what is root's.
func Rooted(dir string) error {
	if !path.IsAbs(dir) {
		return fault.Permanent("%s: is no absolute path", dir)
	}
	for ; ; dir = path.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return &os.PathError{Op: "stat", Path: dir, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != 0 || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
			return fault.NotRoots.Permanent("%s: others than root can change it, so nothing below it is used (try: chown root %s; chmod go-w %s)", dir, dir, dir)
		}
		if dir == "/" {
			return nil
		}
	}
}

// RootsAlone checks that nobody but root can change the file.
func (f *File) RootsAlone() error {
	if f.Stat.Uid != 0 || f.Stat.Mode&0o022 != 0 {
		return fault.NotRoots.Permanent("%s: is not root's alone (try: chown root: %s; chmod 644 %s)", f.Path, f.Path, f.Path)
	}
	return nil
}

// RootsAlone checks that nobody but root can change the directory.
func (d *Dir) RootsAlone() error {
	st, err := d.Stat()
	if err == nil && (st.Uid != 0 || st.Mode&0o022 != 0) {
		err = fault.NotRoots.Permanent("%s: is not root's alone (try: chown root: %s; chmod 755 %s)", d.Path, d.Path, d.Path)
	}
	return err
}
