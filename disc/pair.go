package disc

import (
	"errors"
	"os"
	"path"
	"strings"

	"uml/cow"
	"uml/fault"
)

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
