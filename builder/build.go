package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/flatten"
	"uml/job"
	"uml/settings"
	"uml/superblock"
	"uml/template"
)

// A Build is what a template is made from.
type Build struct {
	Name    string
	Source  string // debian:SUITE, or a directory, an archive, an image
	Size    settings.Size
	Sized   bool     // it was asked for
	Include []string // packages beside the usual ones, of Debian
	Mirror  string   // in place of the host's, of Debian
	Etc     string   // where the host's mirrors are: /etc/apt
}

// Least is the smallest template.
const Least settings.Size = 16 << 20

// Make makes it.
func Make(ctx context.Context, o Options, b Build) (*template.Template, error) {
	if b.Size < Least || b.Size%4096 != 0 {
		return nil, fault.Permanent("--size %v: is too small for a root filesystem (%v at the least)", b.Size, Least)
	}
	kind, err := b.kind()
	if err != nil {
		return nil, err
	}
	s, err := o.open(ctx, b.Name)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	j := job.Job{Root: "/dev/ubda", Scratch: true, Look: true}
	if kind == raw {
		j.ReadOnly = true
		err = s.copy(ctx, b)
	} else {
		j.Unpack, err = s.archive(ctx, b, kind)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	a := s.appliance(map[string]string{"ubd0": "ubd0"})
	a.Limit = unpackLimit
	if j.Unpack != nil {
		a.Settings["ubd1"] = "ubd1 flags=r"
		s.Say(fmt.Sprintf("unpacking %d MiB in a guest", j.Unpack.Size>>20))
	}
	return s.finish(ctx, a, j, template.Manifest{Name: b.Name, Source: b.said()}, nil)
}

// said is the source as a manifest has it.
func (b Build) said() string {
	if _, ok := strings.CutPrefix(b.Source, debian); ok {
		return b.Source
	}
	if abs, err := filepath.Abs(b.Source); err == nil {
		return abs
	}
	return b.Source
}

type kind int

const (
	packages kind = iota
	directory
	archive
	raw
)

const debian = "debian:"

// kind says what the source is, by looking at it.
func (b Build) kind() (kind, error) {
	if suite, ok := strings.CutPrefix(b.Source, debian); ok {
		errs := []error{flatten.CheckSuite(suite)}
		for _, p := range b.Include {
			errs = append(errs, flatten.CheckPackage(p))
		}
		return packages, errors.Join(errs...)
	}
	if len(b.Include) > 0 || b.Mirror != "" {
		return 0, fault.Permanent("%s: --include and --mirror are for debian:SUITE", b.Source)
	}
	f, err := os.Open(b.Source)
	if err != nil {
		return 0, fault.Permanent("%w (SOURCE is debian:SUITE, a directory, a tar archive, an image of a filesystem, or an OCI image's archive)", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.IsDir() {
		return directory, nil
	}
	if !st.Mode().IsRegular() {
		return 0, fault.Permanent("%s: is neither a file nor a directory", b.Source)
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if flatten.IsArchive(head[:n]) {
		return archive, nil
	}
	if _, err := cow.Read(f); err == nil {
		return 0, fault.Permanent("%s: is a COW file (try: uml-disk cow merge %s --into NEW)", b.Source, b.Source)
	}
	found, err := superblock.Look(f, st.Size())
	if err != nil {
		return 0, err
	}
	if len(found) == 1 && (found[0].Kind == superblock.Unknown || found[0].Kind == superblock.None) && found[0].Partition == 0 {
		return 0, fault.Permanent("%s: is neither a tar archive nor the image of a filesystem that is known", b.Source)
	}
	return raw, nil
}

// archive makes the source one archive on the machine's second disc, and an empty filesystem
// on the first.
func (s *site) archive(ctx context.Context, b Build, k kind) (*job.Unpack, error) {
	f, err := s.flatten(ctx, b, k)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// A disc has whole sectors; what follows an archive's end is not read.
	if err := f.Truncate((st.Size() + 4095) / 4096 * 4096); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, name, unix.AT_FDCWD, s.disc(1), unix.AT_SYMLINK_FOLLOW); err != nil {
		return nil, fmt.Errorf("make %s: %w", s.disc(1), err)
	}
	if err := s.needs(st.Size()); err != nil {
		return nil, err
	}
	disc, err := s.create()
	if err != nil {
		return nil, err
	}
	defer disc.Close()
	if err := disc.Truncate(int64(b.Size)); err != nil {
		return nil, fault.Permanent("--size %v: %w", b.Size, err)
	}
	return &job.Unpack{Device: "/dev/ubdb", Size: st.Size()}, s.runner().MakeWhole(ctx, disc)
}

func (s *site) flatten(ctx context.Context, b Build, k kind) (*os.File, error) {
	o := flatten.Options{Limit: int64(b.Size), Say: s.Say, Work: s.Work}
	if k == archive {
		in, err := os.Open(b.Source)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return flatten.Archive(ctx, o, in, s.temp)
	}
	out, err := s.temp()
	if err != nil {
		return nil, err
	}
	if k == directory {
		err = flatten.Directory(ctx, o, b.Source, out)
	} else {
		err = s.debian(ctx, o, b, out)
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

func (s *site) debian(ctx context.Context, o flatten.Options, b Build, out *os.File) error {
	suite := strings.TrimPrefix(b.Source, debian)
	d := flatten.Debian{Suite: suite, Include: b.Include, Dir: filepath.Join(s.dir, "mmdebstrap")}
	var err error
	if b.Mirror != "" {
		d.Mirrors = []string{"deb " + b.Mirror + " " + suite + " main"}
	} else if d.Mirrors, err = flatten.Mirrors(b.Etc, suite); err != nil {
		return err
	}
	if err := os.Mkdir(d.Dir, 0o711); err != nil {
		return err
	}
	return d.Write(ctx, o, out)
}

// unpackLimit is when a guest is not believed to come to an end any more.
const unpackLimit = time.Hour
