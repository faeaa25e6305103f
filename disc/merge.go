package disc

import (
	"context"
	"errors"
	"os"
	"strings"

	"uml/cow"
	"uml/fault"
)

// CowMerge makes a new file of a pair, the whole disc.
func CowMerge(ctx context.Context, o Options, file, backing, into string) error {
	d, unfit, err := openPair(file, backing, read, read)
	if err != nil {
		return err
	}
	defer d.Close()
	if unfit != nil {
		return unfit
	}
	dst, err := o.new(into)
	if err != nil {
		return err
	}
	defer dst.Close()
	return dst.make(func(f *os.File) error {
		told, done := o.work("merge", d.Size)
		defer done()
		return d.Merge(ctx, f, told)
	})
}

// CowMergeBack merges into the backing file itself. That ends every other COW file of it,
// so that machines which have one are looked for.
func CowMergeBack(ctx context.Context, o Options, file, backing, machines string) error {
	d, unfit, err := openPair(file, backing, write, write)
	if err != nil {
		return err
	}
	defer d.Close()
	// A copy of a guest's COW file lies outside of its jail, with the header that he wrote.
	if backing == "" && d.p.Machine == nil {
		return fault.Permanent("%s: say what is to be written, since only its header names a backing file (if that is right: --backing %s)", file, d.base.Path)
	}
	others, err := sharers(machines, d.in, d.f)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fault.InUse.Permanent("%s: is the backing file of %s too, which would be worthless (try: uml-disk cow merge %s --into NEW)", d.base.Path, strings.Join(others, ", "), file)
	}
	if unfit != nil && !errors.Is(unfit, cow.ErrMerging) {
		return unfit
	}
	told, done := o.work("merge", d.Size)
	err = d.MergeBack(ctx, told)
	done()
	if err == nil || !d.Merging { // it was refused
		return err
	}
	if ctx.Err() != nil {
		err = errors.New("ended by a signal")
	}
	return fault.Temporary("%s: %w: %w", file, err, ErrHalfMerged)
}

// ErrHalfMerged: of all that is done to discs only this is not undone when it is ended.
var ErrHalfMerged = errors.New("no guest can have the pair until this is said again and comes to its end")
