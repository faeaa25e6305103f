// Package kernels keeps the kernels that the host's administrator lets guests run (paper
// 2.5): each is a directory of the store that has an image, what its guests need of it, and
// what is known of it, and never changes. A machine's settings name the image; a start
// takes the rest from beside it (package runscript).
//
//	NAME/linux          the image
//	NAME/initrd         of package overlay, a plain one; if the kernel takes one
//	NAME/modules.img    ext4, with RELEASE/ as in /lib/modules; if it has modules
//	NAME/manifest.json
//	default             a symbolic link to a NAME
//
// All of it is root's. What changes the store holds its lock; who reads needs none.
package kernels

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// DefaultDir is where the store is.
const DefaultDir = "/var/lib/uml/kernels"

const (
	imageName    = "linux"
	initrdName   = "initrd"
	modulesName  = "modules.img"
	manifestName = "manifest.json"
	defaultName  = "default"
	newName      = ".new" // what is not whole yet; no kernel has such a name
	lockName     = ".lock"
	treeName     = "tree" // in newName: the modules, as they come to be on the disc
)

// A Store is the directory.
type Store struct {
	Dir  string // absolute, without links
	lock *os.File
}

// Open opens a store to look at. One that is not there is an empty one.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &Store{Dir: abs}, nil
}

// OpenToChange makes the store if it is not there, and locks it until Close.
func OpenToChange(dir string) (*Store, error) {
	if os.Geteuid() != 0 {
		return nil, fault.NeedRoot.Permanent("needs root")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Permanent("the store: %w", err)
	}
	s, err := Open(dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(handle.Rooted(s.Dir), settings.CheckImage(s.image("x"))); err != nil {
		return nil, err
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.Dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, err
	}
	err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fault.Busy.Temporary("%s: another uml-kernel is changing it", s.Dir)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close lets it go.
func (s *Store) Close() {
	if s.lock != nil {
		s.lock.Close()
	}
}

func (s *Store) path(name, file string) string { return filepath.Join(s.Dir, name, file) }

// image is what a machine's settings name.
func (s *Store) image(name string) string { return s.path(name, imageName) }

// Names are the kernels that there are, sorted.
func (s *Store) Names() (names []string, err error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func checkName(name string) error {
	if name == defaultName || settings.CheckName(name) != nil {
		return fault.Usage.Permanent("%q is no kernel's name (letters, digits, then also . _ -, at most 63; not %s)", name, defaultName)
	}
	return nil
}

// Kernel is what is known of one.
func (s *Store) Kernel(name string) (*Manifest, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(name, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.absent(name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := readManifest(f)
	if err != nil {
		return nil, fault.Permanent("%s: %w", f.Name(), err)
	}
	m.Name = name
	return m, nil
}

// Image is the file of one that is there.
func (s *Store) Image(name string) (string, error) {
	_, err := s.Kernel(name)
	return s.image(name), err
}

func (s *Store) absent(name string) error {
	names, err := s.Names()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fault.KernelMissing.Permanent("%s: there is no such kernel, nor any (try: uml-kernel add user-mode-linux %s)", filepath.Join(s.Dir, name), name)
	}
	return fault.KernelMissing.Permanent("%s: there is no such kernel (there are %v)", filepath.Join(s.Dir, name), names)
}

// Default is the default's name, "" if there is none.
func (s *Store) Default() (string, error) {
	name, err := os.Readlink(filepath.Join(s.Dir, defaultName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = checkName(name)
	}
	if err != nil {
		return "", fault.Permanent("%s: %w (mend it by uml-kernel default NAME)", filepath.Join(s.Dir, defaultName), err)
	}
	return name, nil
}

// SetDefault makes one the default.
func (s *Store) SetDefault(name string) error {
	if _, err := s.Kernel(name); err != nil {
		return err
	}
	beside := filepath.Join(s.Dir, ".default.new")
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a power cut
		return err
	}
	if err := os.Symlink(name, beside); err != nil {
		return err
	}
	if err := os.Rename(beside, filepath.Join(s.Dir, defaultName)); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return syncDir(s.Dir)
}

// DefaultImage is the image of a store's default kernel, for who is told none: Debian's if
// there is no store.
func DefaultImage(dir string) (string, error) {
	s, err := Open(dir)
	if err != nil {
		return "", err
	}
	name, err := s.Default()
	if err != nil || name == "" {
		return "/usr/bin/linux.uml", err
	}
	return s.image(name), nil
}

func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// nameOf is the kernel of the store that a file belongs to, whatever links lead to it;
// "" if it is none of them.
func (s *Store) nameOf(file string) string {
	if !filepath.IsAbs(file) {
		return ""
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		real = filepath.Clean(file)
	}
	name := filepath.Base(filepath.Dir(real))
	if filepath.Dir(filepath.Dir(real)) != s.Dir || checkName(name) != nil {
		return ""
	}
	return name
}

func (s *Store) has(name string) bool {
	names, err := s.Names()
	return err == nil && slices.Contains(names, name)
}

// wrap says which kernel an error is about.
func (s *Store) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Join(s.Dir, name), err)
}
