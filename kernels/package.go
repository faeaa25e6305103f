package kernels

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/tool"
)

// dpkgDir is where dpkg says what is installed: info/PACKAGE.list, or PACKAGE:ARCH.list, has
// the names of its files, and status its version (dpkg-query(1)).
const dpkgDir = "/var/lib/dpkg"

func findPackage(ctx context.Context, name, work string) (*source, error) {
	for _, list := range []string{name, name + ":" + runtime.GOARCH} {
		s, err := installed(dpkgDir, name, list)
		if s != nil || err != nil {
			return s, err
		}
	}
	f, err := fetch(ctx, name, work)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unpack(f, work)
}

// installed is nil if it is not.
func installed(dpkg, name, list string) (*source, error) {
	f, err := os.Open(filepath.Join(dpkg, "info", list+".list"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &source{label: name + version(dpkg, name)}
	var images []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		file := lines.Text()
		if dir, _, ok := inModules(strings.TrimPrefix(file, "/")); ok {
			s.modules = "/" + strings.TrimSuffix(dir, "/")
		} else if st, err := os.Lstat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 && len(images) < maxImages {
			images = append(images, file)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if s.image, err = pick(images); err != nil {
		return nil, fmt.Errorf("the package %s: %w", name, err)
	}
	return s, nil
}

// version is " 6.1um4+b13", or "" if it is not found.
func version(dpkg, name string) string {
	f, err := os.Open(filepath.Join(dpkg, "status"))
	if err != nil {
		return ""
	}
	defer f.Close()
	own := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if p, ok := strings.CutPrefix(line, "Package: "); ok {
			own = p == name
		}
		if v, ok := strings.CutPrefix(line, "Version: "); ok && own {
			return " " + v
		}
	}
	return ""
}

// downloader is the account of apt's that has no rights and no files of its own.
const downloader = "_apt"

// fetch has the host's apt-get bring the package's file, in a directory that is for
// nothing else.
func fetch(ctx context.Context, name, work string) (*os.File, error) {
	u, err := user.Lookup(downloader)
	if err != nil {
		return nil, fault.SourceBad.Permanent("%s is no file, nor an installed package, and cannot be fetched: %w", name, err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	into := filepath.Join(work, "fetched")
	if err := errors.Join(os.Mkdir(into, 0o700), os.Chown(into, uid, gid)); err != nil {
		return nil, err
	}
	if err := (tool.Runner{UID: uid, GID: gid, Dir: into}).Download(ctx, name); err != nil {
		return nil, err
	}
	dir, err := handle.OpenDir(into)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	list, err := dir.List(".")
	if err != nil {
		return nil, err
	}
	defer list.Close()
	names, err := list.Names(10)
	if err != nil {
		return nil, err
	}
	if len(names) != 1 {
		return nil, fault.Permanent("apt-get download %s: brought %d files (%s), not one", name, len(names), strings.Join(names, " "))
	}
	at, err := dir.Open(names[0])
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return nil, err
	}
	return at.Reopen(unix.O_RDONLY)
}
