package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/settings"
	"uml/sparse"
)

// useTemplate judges the template, and what the disc is to be.
func (d *draft) useTemplate() {
	if d.Template == "" {
		d.fault(fault.Permanent("of which template? (--template NAME; uml-template list)"))
		return
	}
	i, err := d.o.template(d.Template)
	if err != nil {
		d.fault(err)
		return
	}
	d.image = i
	size := int64(d.Disc)
	switch {
	case d.COW && size != 0 && size != i.Size:
		d.fault(fault.Permanent("a COW disc is as large as its template, %v: its kernel has no other way to find a block (leave --disc or --cow out)", settings.Size(i.Size)))
	case d.COW:
		d.fault(i.judgeCOW())
		d.Settings["ubd0"] = "ubd0," + i.Path
	case size != 0 && size < i.Size:
		d.fault(fault.Permanent("%v is smaller than the template, %v", d.Disc, settings.Size(i.Size)))
	case size%4096 != 0:
		d.fault(fault.Permanent("%v is no whole number of pages of 4K", d.Disc))
	}
	if size == 0 {
		d.Disc = settings.Size(i.Size)
	}
}

// makeDisc makes the root disc in the stage's jail, where nobody is yet.
func makeDisc(ctx context.Context, d *draft, s *stage, a settings.Account) error {
	f, err := os.OpenFile(filepath.Join(s.dir, "jail/ubd0"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if d.COW {
		st, err := d.image.f.Stat()
		if err != nil {
			return err
		}
		if _, err := cow.Create(f, cow.V3, d.image.Path, st.Size(), st.ModTime().Unix()); err != nil {
			return err
		}
		return f.Chown(a.UID, a.GID)
	}
	told, done := d.o.work("copy", d.image.Size)
	_, err = sparse.Clone(ctx, f, d.image.f, d.image.Size, told)
	done()
	if err == nil && int64(d.Disc) > d.image.Size {
		err = f.Truncate(int64(d.Disc))
	}
	return errors.Join(err, f.Chown(a.UID, a.GID))
}

func (o Options) work(what string, bytes int64) (sparse.Told, func()) {
	if o.Work == nil {
		return nil, func() {}
	}
	told, done := o.Work(what, bytes)
	return told, done
}

// syncDiscs: they are on the host's disc before the machine is at its place.
func syncDiscs(jail string) error {
	for n := range 8 {
		name := filepath.Join(jail, fmt.Sprintf("ubd%d", n))
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return fmt.Errorf("sync %s: %w", name, err)
		}
	}
	return nil
}
