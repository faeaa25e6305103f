package builder

import (
	"context"
	"fmt"
	"os"

	"uml/cow"
	"uml/fault"
	"uml/sparse"
	"uml/superblock"
	"uml/template"
)

// copy makes the machine's disc of an image, if its filesystem is one for a template.
func (s *site) copy(ctx context.Context, b Build) error {
	in, err := os.Open(b.Source)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	kind, err := s.judge(in, st.Size(), b.Source)
	if err != nil {
		return err
	}
	if b.Sized {
		return fault.Permanent("%s: an image has a size of its own (leave --size out)", b.Source)
	}
	data := int64(0)
	if err := sparse.Extents(in, 0, st.Size(), func(from, to int64) error { data += to - from; return nil }); err != nil {
		return err
	}
	if err := s.needs(data); err != nil {
		return err
	}
	out, err := s.create()
	if err != nil {
		return err
	}
	defer out.Close()
	told, done := s.work("copy", st.Size())
	_, err = sparse.Clone(ctx, out, in, st.Size(), told)
	done()
	if err != nil || !template.IsExt(kind) {
		return err
	}
	// What was written when the image was made: it mends the copy.
	sound, said, err := s.runner().Check(ctx, out, true)
	if err == nil && !sound {
		err = fault.Permanent("%s: e2fsck: %s (try: e2fsck -fy, on a copy)", b.Source, said)
	}
	return err
}

// judge refuses what cannot be the root filesystem below COW files.
func (s *site) judge(in *os.File, size int64, name string) (kind string, err error) {
	found, err := superblock.Look(in, size)
	if err != nil {
		return "", err
	}
	if len(found) != 1 || found[0].Partition != 0 {
		return "", fault.Permanent("%s: has a partition table, and a template is one filesystem (copy the partition out of it)", name)
	}
	f := found[0]
	if err := cow.CheckSize(size); err != nil {
		return "", fault.Permanent("%s: %w", name, err)
	}
	if f.Size > size {
		return "", fault.Permanent("%s: its %s fills %d bytes, and the image has %d: it was cut off", name, f.Kind, f.Size, size)
	}
	switch verdict, why := f.OnCOW(); verdict {
	case superblock.Unsafe:
		return "", fault.Permanent("%s: %s (make it anew with blocks of %d, or build of a directory or an archive)", name, why, cow.Page)
	case superblock.Doubtful:
		s.Say(fmt.Sprintf("warning: %s: %s", name, why))
	}
	return string(f.Kind), nil
}
