package disc

import (
	"context"
	"fmt"
	"os"
	"strings"

	"uml/cow"
	"uml/fault"
	"uml/settings"
	"uml/sparse"
	"uml/superblock"
	"uml/tool"
)

// runner: filesystem programs run as whose the disc is, which outside of a jail may be
// a guest's too.
func (p *Place) runner() tool.Runner {
	a := p.owner()
	if p.Machine == nil && os.Geteuid() == 0 {
		a = p.found
	}
	return tool.Runner{UID: a.UID, GID: a.GID}
}

func (p *Place) makeFS(ctx context.Context, f *os.File, kind string) error {
	if kind != "ext4" {
		return fault.Usage.Permanent("%q is no filesystem that is made (try ext4 or none)", kind)
	}
	if err := p.runner().Make(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return nil
}

// Resize gives a disc another size, its filesystem with it. That is done on a copy,
// which takes the disc's place when it is sound: whatever ends it, the disc is there, as
// it was or as it is to be. Where the filesystem can share blocks the copy costs nothing.
func Resize(ctx context.Context, o Options, file, machines string, size settings.Size, grow bool) error {
	p, f, err := openTo(file, write)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	have, want := st.Size(), int64(size)
	kind, err := p.resizable(f, have)
	switch {
	case err != nil:
		return err
	case have == want:
		return nil
	case grow && want < have:
		return fault.Permanent("%s: is %s (%d bytes) already (uml-disk shrink makes it smaller)", file, human(have), have)
	case !grow && want > have:
		return fault.Permanent("%s: is only %s (%d bytes) (uml-disk grow makes it larger)", file, human(have), have)
	}
	if err := p.nobodys(f, machines); err != nil {
		return err
	}
	switch {
	case kind == superblock.Unknown && !grow:
		return fault.Permanent("%s: holds no ext filesystem, so it cannot be shown that nothing is lost behind %s (only ext2, ext3 and ext4 are shrunk)", file, human(want))
	case kind == superblock.Unknown:
		return p.lengthen(f, want)
	}
	return p.replace(f, func(copy *os.File) error {
		told, done := o.work("copy", have)
		_, err := sparse.Clone(ctx, copy, f, have, told)
		done()
		if err != nil {
			return err
		}
		return p.resize(ctx, copy, want)
	})
}

// nobodys: of a backing file that has another size no COW file is worth anything.
func (p *Place) nobodys(f *os.File, machines string) error {
	others, err := sharers(machines, f, nil)
	if err == nil && len(others) > 0 {
		err = fault.InUse.Permanent("%s: is the backing file of %s, which would be worthless with another size (try: uml-disk clone %s NEW, and that)", p.Path, strings.Join(others, ", "), p.Path)
	}
	return err
}

// lengthen: what is in it, which we do not know, stays as it is.
func (p *Place) lengthen(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return tooLarge(p, err)
	}
	return f.Sync()
}

// resizable says what is to be resized: an ext filesystem, None, or Unknown.
func (p *Place) resizable(f *os.File, size int64) (superblock.Kind, error) {
	if c, err := cow.Read(f); err == nil {
		return "", fault.Permanent("%s: is a COW file: it has its backing file's size, %s (try: uml-disk cow merge %s --into NEW)", p.Path, human(c.Size), p.Path)
	}
	found, err := superblock.Look(f, size)
	if err != nil {
		return "", err
	}
	if len(found) == 1 && found[0].Partition == 0 {
		switch k := found[0].Kind; k {
		case superblock.Ext2, superblock.Ext3, superblock.Ext4:
			return k, nil
		}
	}
	return superblock.Unknown, nil
}

// resize: a filesystem that is not sound is not resized, and the file is not made shorter
// before the filesystem says itself that it ends sooner.
func (p *Place) resize(ctx context.Context, f *os.File, size int64) error {
	run := p.runner()
	sound, said, err := run.Check(ctx, f, true)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	if !sound {
		return fault.Permanent("%s: its filesystem is damaged, and was not touched (e2fsck: %s; try: e2fsck -f on a clone)", p.Path, said)
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if size > st.Size() {
		if err := f.Truncate(size); err != nil {
			return tooLarge(p, err)
		}
	}
	if err := run.Resize(ctx, f, size/tool.Block*tool.Block); err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	found, err := superblock.Look(f, size)
	if err != nil {
		return err
	}
	if ends := found[0].Size; ends <= 0 || ends > size {
		return fault.Permanent("%s: its filesystem says that it ends at %d, behind %d: nothing was changed", p.Path, ends, size)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	if sound, said, err = run.Check(ctx, f, false); err == nil && !sound {
		err = fault.Permanent("%s: its filesystem is not sound after resize2fs, nothing was changed (e2fsck: %s)", p.Path, said)
	}
	return err
}
