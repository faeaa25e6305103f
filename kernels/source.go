package kernels

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/deb"
	"uml/fault"
	"uml/handle"
	"uml/kernel"
)

// A source is where a kernel comes from.
type source struct {
	label   string // for the manifest
	image   *os.File
	modules string // a directory that has one for each release; "": none
}

// find takes a kernel's image, a package's file, or a package of the host's distribution:
// installed, or fetched. What is unpacked lies in the directory work.
func find(ctx context.Context, from, work string) (*source, error) {
	f, err := openFile(from)
	if errors.Is(err, fs.ErrNotExist) && isPackage(from) {
		return findPackage(ctx, from, work)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Permanent("%w", err)
	}
	if err != nil {
		return nil, err
	}
	head := make([]byte, 8)
	if _, err := f.ReadAt(head, 0); err == nil && deb.Is(head) {
		defer f.Close()
		return unpack(f, work)
	}
	abs, err := filepath.Abs(from)
	return &source{label: abs, image: f}, err
}

func openFile(name string) (*os.File, error) {
	at, err := handle.Open(name)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return nil, err
	}
	return at.Reopen(unix.O_RDONLY)
}

// isPackage: the names that Debian's policy has (5.6.7).
func isPackage(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && strings.IndexByte("+.-", c) >= 0) {
			return false
		}
	}
	return len(name) > 1
}

// moduleDirs are where packages have modules, a directory for each release.
var moduleDirs = []string{"usr/lib/uml/modules/", "lib/modules/", "usr/lib/modules/"}

func inModules(name string) (dir, rest string, ok bool) {
	for _, dir := range moduleDirs {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			return dir, rest, true
		}
	}
	return "", "", false
}

// maxImages bounds the programs of a package that are looked at.
const maxImages = 100

// unpack takes a package's modules and its one kernel.
func unpack(f *os.File, work string) (*source, error) {
	s := &source{label: filepath.Base(f.Name())}
	dir := filepath.Join(work, "package")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var images []string
	err = deb.Each(f, func(file deb.File, text io.Reader) error {
		if _, rest, ok := inModules(file.Name); ok {
			s.modules = filepath.Join(dir, "modules")
			return put(root, filepath.Join("modules", rest), text)
		}
		in := bufio.NewReader(text)
		if head, err := in.Peek(4); !file.Executable || err != nil || string(head) != "\x7fELF" {
			return nil
		}
		if len(images) == maxImages {
			return fault.Permanent("has more than %d programs", maxImages)
		}
		at := filepath.Join("images", fmt.Sprint(len(images)), filepath.Base(file.Name))
		images = append(images, filepath.Join(dir, at))
		return put(root, at, in)
	})
	if err == nil {
		s.image, err = pick(images)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return s, nil
}

// put writes a file below root. Two of one name are none of a package.
func put(root *os.Root, name string, text io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fault.Permanent("has %s twice", name)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, text)
	return errors.Join(err, f.Close())
}

// pick is the one of a package's programs that is a kernel.
func pick(programs []string) (image *os.File, err error) {
	var last error
	for _, name := range programs {
		f, err := openFile(name)
		if err != nil {
			return nil, err
		}
		_, err = kernel.Inspect(f)
		switch {
		case err == nil && image == nil:
			image = f
			continue
		case err == nil:
			f.Close()
			image.Close()
			return nil, fault.Permanent("has more than one kernel, %s and %s (add one of them by its file)", filepath.Base(image.Name()), filepath.Base(name))
		}
		f.Close()
		last = fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	if image == nil && len(programs) == 1 {
		return nil, last
	}
	if image == nil {
		return nil, fault.SourceBad.Permanent("has no user-mode Linux kernel in it")
	}
	return image, nil
}
