package estate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/superblock"
)

// An image is a template's, or of any file that is as one.
type image struct {
	Path  string // without links
	Size  int64
	Taken int64 // bytes of the host's disc

	f *os.File
}

func (i *image) Close() error { return i.f.Close() }

// template opens one: the newest of a name, NAME@STAMP, or a path.
func (o Options) template(name string) (*image, error) {
	file := name
	if !strings.Contains(name, "/") {
		var err error
		if file, err = o.newest(name); err != nil {
			return nil, err
		}
	}
	real, err := filepath.EvalSymlinks(file)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fault.Permanent("template %s: %w", name, err)
	}
	at, err := handle.Open(real)
	if err != nil {
		return nil, fault.Permanent("template: %w", err)
	}
	defer at.Close()
	for _, err := range []error{at.Regular(), at.RootsAlone(), handle.Rooted(filepath.Dir(real))} {
		if err != nil {
			return nil, err
		}
	}
	f, err := at.Reopen(unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := lock.TakeDisc(f, true); err != nil { // until the machine is there, so that uml-template removes it no more
		f.Close()
		return nil, err
	}
	i := &image{Path: real, Size: at.Stat.Size, Taken: at.Stat.Blocks * 512, f: f}
	if err := i.judge(); err != nil {
		f.Close()
		return nil, err
	}
	return i, nil
}

// newest is the image of the last stamp: they sort as they were made.
func (o Options) newest(name string) (string, error) {
	entries, err := os.ReadDir(o.Templates)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // before the first build it is not there
		return "", fault.Permanent("templates: %w", err)
	}
	var all, names []string
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".img")
		base, _, stamped := strings.Cut(stem, "@")
		if !ok || !stamped {
			continue
		}
		names = append(names, base)
		if stem == name || base == name {
			all = append(all, e.Name())
		}
	}
	if len(all) == 0 {
		slices.Sort(names)
		there := strings.Join(slices.Compact(names), " ")
		if there == "" {
			there = "none"
		}
		return "", fault.TemplateMissing.Permanent("%s: there is no template %q (there are: %s; uml-template build makes one)", o.Templates, name, there)
	}
	return filepath.Join(o.Templates, slices.Max(all)), nil
}

// judge: it is a disc, and its own.
func (i *image) judge() error {
	if _, err := cow.Read(i.f); !errors.Is(err, cow.ErrNone) {
		return fault.Permanent("%s: is a COW file, and no disc (try: uml-disk cow merge %s --into NEW)", i.Path, i.Path)
	}
	if i.Size < 64<<10 {
		return fault.Permanent("%s: %d bytes are no filesystem", i.Path, i.Size)
	}
	return nil
}

// judgeCOW: it can have COW files.
func (i *image) judgeCOW() error {
	if err := cow.CheckSize(i.Size); err != nil {
		return fault.Permanent("%s: %w", i.Path, err)
	}
	if err := cow.V3.CheckName(i.Path); err != nil {
		return fault.Permanent("%s: %w", i.Path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(i.f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&0o004 == 0 {
		return fault.Permanent("%s: guests' accounts cannot read it (chmod 444 %s)", i.Path, i.Path)
	}
	found, err := superblock.Look(i.f, i.Size)
	for _, fs := range found {
		if verdict, why := fs.OnCOW(); verdict == superblock.Unsafe {
			return fault.Permanent("%s: %s (leave --cow out)", i.Path, why)
		}
	}
	return err
}
