package template

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/spelling"
)

// A Store is a directory of templates.
type Store struct{ Dir string }

// Open is the store to be read: one that is not there has no templates.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return &Store{abs}, nil
	}
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	return &Store{real}, handle.Rooted(real) // what others can change is no template
}

// Make is the store to be written: made if it is not there.
func Make(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Permanent("%w", err)
	}
	return Open(dir)
}

// All are the templates, by name and then by age, the newest last. What is there and cannot
// be read is the error, beside all others.
func (s *Store) All() (all []*Template, err error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		full, ok := strings.CutSuffix(e.Name(), manifest)
		if _, stamp, err := ParseName(full); !ok || err != nil || stamp == "" {
			continue
		}
		t, err := read(s.Dir, e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Template) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Stamp, b.Stamp))
	})
	return all, errors.Join(errs...)
}

// Named are all templates of a name, the newest last, or the one of NAME@STAMP: at least one.
func (s *Store) Named(full string) (all []*Template, err error) {
	name, stamp, err := ParseName(full)
	if err != nil {
		return nil, err
	}
	if stamp != "" {
		t, err := read(s.Dir, full+manifest)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, s.none(full)
		}
		return []*Template{t}, err
	}
	there, err := s.All()
	for _, t := range there {
		if t.Name == name {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(s.none(full), err)
	}
	return all, nil
}

// Find is the newest template of NAME, or that of NAME@STAMP.
func (s *Store) Find(full string) (*Template, error) {
	all, err := s.Named(full)
	if err != nil {
		return nil, err
	}
	return all[len(all)-1], nil
}

func (s *Store) none(full string) error {
	there, _ := s.All()
	var names []string
	for _, t := range there {
		names = append(names, t.Name, t.Full())
	}
	if near := spelling.Nearest(full, slices.Compact(names)); len(near) > 0 {
		return fault.TemplateMissing.Permanent("%s: there is no template %s (did you mean %s?)", s.Dir, full, strings.Join(near, " or "))
	}
	return fault.TemplateMissing.Permanent("%s: there is no template %s", s.Dir, full)
}

// Lock keeps all others from making and removing templates, until it is closed.
func (s *Store) Lock() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.Dir, ".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fault.Busy.Temporary("%s: another build, update or removal is going on", s.Dir)
	}
	return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
}

// Staging is the directory in which templates are made.
func (s *Store) Staging() string { return filepath.Join(s.Dir, ".new") }

// Sweep removes what was left by those who were killed, and says what. The store is locked.
func (s *Store) Sweep() (swept []string, err error) {
	if err := s.endRemains(); err != nil {
		return nil, err
	}
	for _, pattern := range []string{".new/*", ".*" + manifest, "*" + manifest} {
		names, err := filepath.Glob(filepath.Join(s.Dir, pattern))
		if err != nil {
			return swept, err
		}
		for _, name := range names {
			if pattern == "*"+manifest && !s.alone(filepath.Base(name)) {
				continue
			}
			if err := os.RemoveAll(name); err != nil {
				return swept, err
			}
			swept = append(swept, name)
		}
	}
	return swept, nil
}

// alone says whether it is a manifest without an image.
func (s *Store) alone(file string) bool {
	full, _ := strings.CutSuffix(file, manifest)
	if _, stamp, err := ParseName(full); err != nil || stamp == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(s.Dir, full+image))
	return errors.Is(err, fs.ErrNotExist)
}

// Add makes a template of an image, a file in the store's filesystem that is moved: whole
// and on the disc, or not at all. The store is locked.
func (s *Store) Add(file string, m Manifest) (*Template, error) {
	t := &Template{m, s.Dir}
	dir, err := handle.OpenDir(s.Dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := dir.Replace("."+t.Full()+manifest, t.Full()+manifest, string(m.encode())); err != nil {
		return nil, err
	}
	if err := os.Rename(file, t.Image()); err != nil {
		return nil, errors.Join(err, os.Remove(t.manifest()))
	}
	return t, s.sync()
}

func (s *Store) sync() error {
	d, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
