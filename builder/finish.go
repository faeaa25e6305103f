package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"uml/appliance"
	"uml/fault"
	"uml/job"
	"uml/sparse"
	"uml/template"
	"uml/version"
)

// finish has the guest do its job, and makes a template of its disc. keep says whether that is
// worth it; nil is yes.
func (s *site) finish(ctx context.Context, o appliance.Options, j job.Job, m template.Manifest, keep func(*job.Facts) error) (*template.Template, error) {
	done := func() {}
	if j.Unpack != nil {
		done = s.watch("unpack", j.Unpack.Size)
	}
	a, err := appliance.Run(ctx, o, j)
	done()
	if err != nil {
		return nil, s.failed(err)
	}
	if a.Facts == nil {
		return nil, fault.Permanent("the guest did its job, and says nothing of what it found")
	}
	if keep != nil {
		if err := keep(a.Facts); err != nil {
			return nil, err
		}
	}
	describe(&m, a.Facts)
	f, err := os.OpenFile(s.disc(0), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := s.seal(ctx, f, &m); err != nil {
		return nil, s.failed(fmt.Errorf("%s: %w", s.disc(0), err))
	}
	m.Made = time.Now().UTC().Truncate(time.Second)
	if newest, err := s.store.Find(s.name); err == nil && m.Made.Before(newest.Made.Add(time.Second)) {
		m.Made = newest.Made.Add(time.Second) // a clock that was set back, or two within a second
	}
	m.Stamp, m.By = template.Stamp(m.Made), version.This()
	return s.store.Add(s.disc(0), m)
}

// seal makes the disc an image that nobody changes any more. Whoever had it open has ended.
func (s *site) seal(ctx context.Context, f *os.File, m *template.Manifest) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	m.Size = st.Size()
	if template.IsExt(m.Filesystem) {
		sound, said, err := s.runner().Check(ctx, f, false)
		if err == nil && !sound {
			err = fault.Permanent("e2fsck: %s", said)
		}
		if err != nil {
			return err
		}
	}
	if _, err := sparse.Trim(ctx, f, m.Size, nil); err != nil {
		return err
	}
	if err := holes(f, m.Size); err != nil {
		return err
	}
	told, done := s.work("sha256", m.Size)
	m.SHA256, err = template.Digest(ctx, f, m.Size, told)
	done()
	return errors.Join(err, f.Chown(0, 0), f.Chmod(0o444), f.Sync())
}

// holes gives back what reads as one and takes room all the same: mkfs has its tables of
// zeros allocated and not written.
func holes(f *os.File, size int64) error {
	at := int64(0)
	err := sparse.Extents(f, 0, size, func(from, to int64) error {
		begin := at
		at = to
		return sparse.Punch(f, begin, from)
	})
	if err != nil {
		return err
	}
	return sparse.Punch(f, at, size)
}

func describe(m *template.Manifest, f *job.Facts) {
	m.Filesystem, m.System, m.ID, m.Release = f.Kind, f.System, f.ID, f.Release
	m.Init, m.Network, m.Cloud, m.SSH = f.Init, f.Network, f.Cloud, f.SSH
	m.Manager, m.Packages, m.Used, m.Inodes = f.Manager, f.Packages, f.Used, f.Inodes
}
