package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"

	"uml/cow"
	"uml/fault"
	"uml/jail"
	"uml/settings"
	"uml/superblock"
)

// judgePair looks at a COW disc as the guest will read it (paper 5.1). The kernel leaves a
// pair out that does not fit, and reads one wrongly in which a page is half written, both
// without a word to whoever started it (docs/kernels.md). What is read is a header, and
// the little that tells filesystems apart.
func (s *start) judgePair(d settings.Disc, f, base *os.File) error {
	c, err := cow.Open(f)
	if errors.Is(err, cow.ErrNone) {
		return fault.DiscBad.Permanent("%w, and settings/ubd%d names a backing file for it (try: uml-disk cow create %s FILE)", err, d.N, base.Name())
	}
	if err != nil {
		return fault.DiscBad.Permanent("%w", err)
	}
	if want := inJail(d.Backing); c.Backing != want && !attached(c.Backing) {
		return fault.DiscBad.Permanent("%s: its header names the backing file %q, the setting %q (mend settings/ubd%d, or if they are the same: uml-disk cow rebase --unsafe %s %s)", f.Name(), c.Backing, want, d.N, f.Name(), base.Name())
	}
	pair, err := c.With(base)
	if err != nil {
		return fault.DiscUnsafe.Of(err)
	}
	if err := s.judgeContent(d, pair, f.Name(), base.Name()); err != nil {
		return err
	}
	if s.m.CowMend && !d.ReadOnly {
		s.pairs = append(s.pairs, pair)
		return nil
	}
	return s.seeHalves(c, f.Name())
}

// attached: the kernel writes into the header what it was told last, which is another name
// for a disc that came while it ran.
func attached(name string) bool {
	for n := range maxDiscs {
		if name == inJail(jail.Annex)+"/"+backing(fmt.Sprintf("ubd%d", n)) {
			return true
		}
	}
	return false
}

// judgeContent: whether the kernel can read it rightly.
func (s *start) judgeContent(d settings.Disc, pair *cow.Pair, name, backing string) error {
	var errs []error
	unsafe := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if s.m.CowUnsafe {
			s.Say(fault.DiscUnsafe, "warning: "+text)
			return
		}
		errs = append(errs, fault.DiscUnsafe.Permanent("%s (to start it all the same: echo allow >%s)", text, s.dir.Join("settings/cow-unsafe")))
	}
	if err := cow.CheckSize(pair.Size); err != nil {
		unsafe("%s: %v", backing, err)
	}
	found, err := superblock.Look(pair, pair.Size)
	if err != nil {
		return fmt.Errorf("%s: look for its filesystem: %w", name, err)
	}
	for _, fs := range found {
		switch verdict, why := fs.OnCOW(); verdict {
		case superblock.Unsafe:
			unsafe("%s: %s (make it anew with blocks of %d, or have the disc whole: uml-disk cow merge %s --into NEW)", name, why, cow.Page, name)
		case superblock.Doubtful:
			s.Say(fault.DiscUnsafe, fmt.Sprintf("warning: %s: %s", name, why))
		}
	}
	return errors.Join(errs...)
}

// seeHalves reads a whole bitmap, which only an examination does.
func (s *start) seeHalves(c *cow.File, name string) error {
	if s.seen == nil || s.seen.State == Up {
		return nil
	}
	n, err := c.Count()
	if err != nil {
		return err
	}
	if n.Halves > 0 {
		s.Say(fault.DiscUnsafe, fmt.Sprintf("warning: %s: %d pages are half written, and what follows them is read wrongly (try: uml-disk cow check --mend %s, or echo yes >%s)", name, n.Halves, name, s.dir.Join("settings/cow-mend")))
	}
	return nil
}

// seeRaw: a guest can write whatever it likes into its first sector, and the start says
// that it is no COW file.
func (s *start) seeRaw(f *os.File) {
	if s.seen == nil {
		return
	}
	if h, err := cow.Read(f); err == nil {
		s.Say(fault.DiscUnsafe, fmt.Sprintf("warning: %s: begins like a COW file of %q, and is given to the guest as it is: the guest wrote that, or the setting lacks the backing file", f.Name(), h.Backing))
	}
}

// mend fills half-written pages. What the guest reads does not change by it.
func (s *start) mend(ctx context.Context) error {
	for _, p := range s.pairs {
		n, err := p.Mend(ctx)
		if err != nil {
			return fmt.Errorf("fill half-written pages: %w", err)
		}
		if n > 0 {
			s.Say(fault.COWMended, fmt.Sprintf("%d half-written pages of a COW disc filled from %s", n, p.Backing))
		}
	}
	return nil
}

func (s *start) planMend() {
	for _, p := range s.pairs {
		s.plan("mend", "pages of the COW disc on %s that are half written", p.Backing)
	}
}
