package disc

import (
	"context"
	"fmt"

	"uml/cow"
	"uml/fault"
	"uml/superblock"
)

// CowDiff lists what a COW file has, and whether it differs from the backing file.
func CowDiff(ctx context.Context, o Options, file, backing string) error {
	d, unfit, err := openPair(file, backing, read, read)
	if err != nil {
		return err
	}
	defer d.Close()
	if unfit != nil {
		return unfit
	}
	var own, differs int64
	told, done := o.work("compare", d.Size)
	err = d.Diff(ctx, told, func(from, to int64, changed bool) error {
		word := "same"
		own += to - from
		if changed {
			word = "changed"
			differs += to - from
		}
		_, err := fmt.Fprintf(o.Out, "%d\t%d\t%s\n", from, to-from, word)
		return err
	})
	done()
	if err == nil {
		_, err = fmt.Fprintf(o.Out, "# of %d bytes %d are in %s, and %d of these differ from %s\n", d.Size, own, file, differs, d.base.Path)
	}
	return err
}

// CowCheck says whether a pair fits and a kernel reads it rightly; with mend it fills the
// pages of which the COW file has only a part.
func CowCheck(ctx context.Context, o Options, file, backing string, mend bool) error {
	a := read
	if mend {
		a = write
	}
	d, unfit, err := openPair(file, backing, a, read)
	if err != nil {
		return err
	}
	defer d.Close()
	if unfit != nil {
		return unfit
	}
	n, err := d.Count()
	if err != nil {
		return err
	}
	if n.Beyond > 0 {
		return fault.Permanent("%s: %d sectors are marked that the disc does not have: its bitmap is damaged", file, n.Beyond)
	}
	if err := cow.CheckSize(d.Size); err != nil {
		return fault.Permanent("%s: %w", d.base.Path, err)
	}
	if n.Halves > 0 && mend {
		mended, err := d.Mend(ctx)
		if err != nil {
			return room(err)
		}
		fmt.Fprintf(o.Out, "%s: %d half-written pages filled from %s\n", file, mended, d.base.Path)
		n.Halves = 0
	}
	if n.Halves > 0 {
		return fault.Permanent("%s: has %d pages of which only a part was written: the guest's kernel reads what follows them from the wrong place (try: uml-disk cow check --mend %s)", file, n.Halves, file)
	}
	if err := d.checkFS(ctx, o); err != nil {
		return err
	}
	return d.checkBlocks(file)
}

// checkBlocks: a sound filesystem with small blocks is one that a start refuses.
func (d *pair) checkBlocks(file string) error {
	if d.p.Machine != nil && d.p.Machine.CowUnsafe {
		return nil
	}
	found, err := superblock.Look(d.Pair, d.Size)
	if err != nil {
		return err
	}
	for _, fs := range found {
		if verdict, why := fs.OnCOW(); verdict == superblock.Unsafe {
			return fault.Permanent("%s: %s (make it anew with blocks of %d, or have the disc whole: uml-disk cow merge %s --into NEW)", file, why, cow.Page, file)
		}
	}
	return nil
}
