package program

import (
	"errors"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// builtIn are the directories that glibc looks in last: Debian's first, since
// its ld.so does not know the lib64 of other distributions, where it is a
// directory with nothing but ld.so itself.
var builtIn = func() (dirs []string) {
	if t := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}[runtime.GOARCH]; t != "" {
		dirs = []string{"/lib/" + t + "-linux-gnu", "/usr/lib/" + t + "-linux-gnu"}
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
}()

// candidates are the paths at which ld.so looks for a library. A name with a
// slash is a path, and a relative one depends on the working directory: none.
func candidates(name string, by object) (all []string) {
	if path.IsAbs(name) {
		return []string{path.Clean(name)}
	}
	if strings.Contains(name, "/") || name == "" {
		return nil
	}
	for _, d := range dirs(by) {
		all = append(all, path.Join(d, name))
	}
	return all
}

func dirs(by object) []string {
	own := by.RunPath
	if own == nil {
		own = by.rpath
	}
	var all []string
	for _, d := range slices.Concat(own, builtIn) {
		if path.IsAbs(d) && !strings.Contains(d, "$") && !slices.Contains(all, path.Clean(d)) {
			all = append(all, path.Clean(d))
		}
	}
	return all
}

// open judges a library. Its real path is found first, then that nobody but root
// can change where it leads, then it is opened: so what was judged is what the
// path means later too.
func open(name string) (real string, p *Program, err error) {
	if real, err = filepath.EvalSymlinks(name); err != nil {
		return "", nil, unreadable(err)
	}
	if err := handle.Rooted(path.Dir(real)); err != nil {
		return "", nil, err
	}
	f, err := handle.Open(real)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if err := f.Regular(); err != nil {
		return "", nil, err
	}
	if f.Stat.Uid != 0 || f.Stat.Mode&0o022 != 0 {
		return "", nil, fault.NotRoots.Permanent("%s: others than root can write it (chown root, chmod go-w)", real)
	}
	p, err = inspect(f)
	return real, p, err
}

func inspect(f *handle.File) (*Program, error) {
	r, err := f.Reopen(unix.O_RDONLY)
	if err != nil {
		return nil, unreadable(err)
	}
	defer r.Close()
	p, err := Inspect(r, "library")
	if err == nil && !p.Library() {
		err = fault.Permanent("is a program, not a library")
	}
	return p, about(f.Path, err)
}

// unreadable: permissions do not come by themselves.
func unreadable(err error) error {
	if errors.Is(err, unix.EACCES) {
		return fault.Permanent("%w (its user must be able to read it)", err)
	}
	return err
}
