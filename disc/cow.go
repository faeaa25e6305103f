package disc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"uml/cow"
	"uml/fault"
	"uml/superblock"
)

// CowCreate makes a COW file of a backing file, without a sector of its own.
func CowCreate(backing, file string, v cow.Version) error {
	base, in, err := openBacking(backing, read)
	if err != nil {
		return err
	}
	defer base.Close()
	defer in.Close()
	p, err := Find(file)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.make(func(f *os.File) error {
		_, err := createOn(f, v, base, in, p)
		return err
	})
}

// createOn: the header names the backing file as the guest's kernel will see it.
func createOn(f *os.File, v cow.Version, base *Place, in *os.File, p *Place) (*cow.Pair, error) {
	st, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if err := cow.CheckSize(st.Size()); err != nil {
		return nil, fault.Permanent("%s: %w", base.Path, err)
	}
	c, err := cow.Create(f, v, base.from(p), st.Size(), st.ModTime().Unix())
	if err != nil {
		return nil, err
	}
	return c.With(in)
}

// openBacking: a backing file that changes makes every COW file of it worthless, so that
// none but root may be able to change it; and it is a disc, no COW file.
func openBacking(file string, a access) (*Place, *os.File, error) {
	p, f, err := openTo(file, a)
	if err != nil {
		return nil, nil, err
	}
	if _, not := cow.Read(f); not == nil {
		err = fault.Permanent("%s: is a COW file itself, and the kernel does not look through one (try: uml-disk cow merge %s --into NEW)", file, file)
	} else {
		err = p.rootsAlone()
	}
	if err != nil {
		f.Close()
		p.Close()
		return nil, nil, err
	}
	return p, f, nil
}

func (p *Place) rootsAlone() error {
	if os.Geteuid() != 0 {
		return nil
	}
	at, err := p.at()
	if err != nil {
		return err
	}
	defer at.Close()
	return at.RootsAlone()
}

// A pair is a COW file and its backing file, opened, judged and locked.
type pair struct {
	*cow.Pair
	p, base *Place
	f, in   *os.File
}

func (d *pair) Close() {
	d.f.Close()
	d.p.Close()
	if d.in != nil {
		d.in.Close()
		d.base.Close()
	}
}

// openPair: unfit is what cow.With has to say of a pair that it returns all the same. The
// backing file is the one that is given, else that of the settings, and only for a file
// of the host's own that of the header: in a jail that is the guest's word.
func openPair(file, backing string, a, backed access) (d *pair, unfit, err error) {
	d = &pair{}
	if d.p, d.f, err = openTo(file, a); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			d.Close()
			d = nil
		}
	}()
	c, err := cow.Open(d.f)
	if err != nil {
		return d, nil, fault.Permanent("%w", err)
	}
	given := backing != ""
	if !given {
		if backing, err = d.p.backing(c.Header); err != nil {
			return d, nil, err
		}
	}
	if d.base, d.in, err = openTo(backing, backed); err != nil {
		return d, nil, err
	}
	d.Pair, err = c.With(d.in)
	if !given {
		err = d.p.other(c.Header, d.base, err)
	}
	if d.Pair != nil {
		return d, err, nil
	}
	return d, nil, err
}

// other says of a pair that does not fit what matters more: that the header names another
// backing file than the setting, as after a rebase. Nothing is wrong then with the one that is set.
func (p *Place) other(h *cow.Header, base *Place, unfit error) error {
	d, ok := p.disc()
	if !ok || !errors.Is(unfit, cow.ErrChanged) || strings.HasPrefix(h.Backing, annex) {
		return unfit
	}
	if named := base.from(p); h.Backing != named {
		return fault.Permanent("%s: its header names the backing file %q, and not %q (mend %s/settings/ubd%d, or if they are the same: uml-disk cow rebase --unsafe %s %s)",
			p.Path, h.Backing, named, p.Machine.Dir, d.N, p.Path, base.Path)
	}
	return unfit
}

// annex is where, in the jail (jail.Annex), a disc's backing file is that was attached while the guest ran.
const annex = "/annex/"

// backing is the host's name of the backing file.
func (p *Place) backing(h *cow.Header) (string, error) {
	if p.Machine == nil {
		if !path.IsAbs(h.Backing) {
			return "", fault.Permanent("%s: its header names the backing file %q, which is no absolute path (try --backing FILE)", p.Path, h.Backing)
		}
		return h.Backing, nil
	}
	d, ok := p.disc()
	switch {
	case !ok || d.Backing == "":
		return "", fault.Permanent("%s: no setting of %s names a backing file for it, and what a header in a jail names (%q) is not believed (try --backing FILE)", p.Path, p.Machine.Name, h.Backing)
	case path.IsAbs(d.Backing):
		return d.Backing, nil
	}
	return path.Join(p.Machine.Dir, "jail", d.Backing), nil
}

// CowMerge makes a whole disc of a pair: as a new file, or in place of the backing file.
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
		return fault.Permanent("%s: is the backing file of %s too, which would be worthless (try: uml-disk cow merge %s --into NEW)", d.base.Path, strings.Join(others, ", "), file)
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

// CowRebase puts a COW file on another backing file of the same size. The disc stays as
// it is; with same, which says that both backing files have the same in them, only the
// header is written.
func CowRebase(ctx context.Context, o Options, file, newBacking, backing string, same bool) error {
	base, in, err := openBacking(newBacking, read)
	if err != nil {
		return err
	}
	defer base.Close()
	defer in.Close()
	if same {
		return rename(file, base, in)
	}
	d, unfit, err := openPair(file, backing, write, read)
	if err != nil {
		return err
	}
	defer d.Close()
	if unfit != nil {
		return unfit
	}
	if st, err := in.Stat(); err != nil || st.Size() != d.Size {
		return errors.Join(err, fault.Permanent("%s: is not as large as the disc, %d bytes", newBacking, d.Size))
	}
	err = d.p.replace(d.f, func(f *os.File) error {
		pair, err := createOn(f, cow.V3, base, in, d.p)
		if err != nil {
			return err
		}
		told, done := o.work("rebase", d.Size)
		defer done()
		return pair.Fill(ctx, d.Pair, told)
	})
	if err == nil {
		d.p.tellSetting(o, base)
	}
	return err
}

func rename(file string, base *Place, in *os.File) error {
	p, f, err := openTo(file, write)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	c, err := cow.Open(f)
	if err != nil {
		return fault.Permanent("%w", err)
	}
	pair, err := c.With(in)
	if pair == nil || errors.Is(err, cow.ErrMerging) {
		return err
	}
	return pair.Rename(base.from(p))
}

// tellSetting says what the machine's setting must become.
func (p *Place) tellSetting(o Options, base *Place) {
	d, ok := p.disc()
	if !ok {
		return
	}
	if want := p.settingOf(base); d.Backing != want {
		fmt.Fprintf(o.Out, "%s/settings/ubd%d must now be %s,%s\n", p.Machine.Dir, d.N, d.File, want)
	}
}

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
