package disc

import (
	"context"
	"errors"
	"fmt"
	"os"

	"uml/cow"
	"uml/fault"
)

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
