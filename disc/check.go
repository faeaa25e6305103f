package disc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"uml/cow"
	"uml/fault"
	"uml/sparse"
	"uml/superblock"
)

// Check looks at a disc's filesystem without changing anything: by e2fsck if it is ext.
func Check(ctx context.Context, o Options, file, backing string) error {
	p, f, err := openTo(file, read)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	if _, err := cow.Read(f); !errors.Is(err, cow.ErrNone) {
		f.Close() // its lock is taken anew
		return CowCheck(ctx, o, file, backing, false)
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return p.check(ctx, o, f, f, st.Size(), nil)
}

// check: disc is what the guest reads, copy makes a file of it if f is none.
func (p *Place) check(ctx context.Context, o Options, f *os.File, disc io.ReaderAt, size int64, copy func(*os.File) error) error {
	found, err := superblock.Look(disc, size)
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].Partition != 0 || found[0].Size == 0 {
		fmt.Fprintf(o.Out, "%s: %s; it is not looked into\n", p.Path, Filesystem{Kind: string(found[0].Kind), Partition: found[0].Partition})
		return nil
	}
	fs := found[0]
	if fs.Size > size {
		return fault.Permanent("%s: its %s fills %d bytes, and the disc has %d: it was cut off", p.Path, fs.Kind, fs.Size, size)
	}
	switch fs.Kind {
	case superblock.Ext2, superblock.Ext3, superblock.Ext4:
	default:
		fmt.Fprintf(o.Out, "%s: %s; it is not looked into\n", p.Path, fs.Kind)
		return nil
	}
	if copy == nil {
		return p.fsck(ctx, o, f)
	}
	whole, err := p.unnamed()
	if err != nil {
		return err
	}
	defer whole.Close()
	if err := copy(whole); err != nil {
		return room(err)
	}
	return p.fsck(ctx, o, whole)
}

func (p *Place) fsck(ctx context.Context, o Options, f *os.File) error {
	sound, said, err := p.runner().Check(ctx, f, false)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	if !sound {
		return fault.Permanent("%s: e2fsck: %s", p.Path, said)
	}
	fmt.Fprintf(o.Out, "%s: sound\n", p.Path)
	return nil
}

// checkFS looks into the disc that a pair is.
func (d *pair) checkFS(ctx context.Context, o Options) error {
	return d.p.check(ctx, o, nil, d.Pair, d.Size, func(f *os.File) error {
		told, done := o.work("merge for e2fsck", d.Size)
		defer done()
		return d.Merge(ctx, f, sparse.Told(told))
	})
}
