package cow

import (
	"context"
	"errors"
	"os"

	"uml/sparse"
)

// Merge makes dst, which is empty, the whole disc, as uml_moo does. What both files
// have holes for is a hole.
func (p *Pair) Merge(ctx context.Context, dst *os.File, told sparse.Told) error {
	shared, err := p.shared(dst)
	if err != nil {
		return err
	}
	return p.runs(0, (p.Size-1)/Sector+1, func(from, to int64, own bool) error {
		begin, end := from*Sector, min(to*Sector, p.Size)
		switch {
		case own && shared:
			return sparse.Overwrite(ctx, dst, p.f, p.DataAt()+begin, p.DataAt()+end, begin, told)
		case own:
			return sparse.Copy(ctx, dst, p.f, p.DataAt()+begin, p.DataAt()+end, begin, told)
		case shared:
			if told != nil {
				told(end - begin)
			}
			return ctx.Err()
		}
		return sparse.Copy(ctx, dst, p.backing, begin, end, begin, told)
	})
}

// shared gives dst the backing file's blocks, where the filesystem can.
func (p *Pair) shared(dst *os.File) (bool, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // so that nothing is copied where it cannot
	shared, err := sparse.Clone(ctx, dst, p.backing, p.Size, nil)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return shared, err
}

// never is a time that a file which is being written does not have, so that a kernel
// refuses the pair.
const never = 1

// MergeBack writes the disc into the backing file, and makes the COW file one without
// sectors of its own. It can be ended at any point, and said again: until all is in the
// backing file, and on the host's disc, the COW file keeps everything, and from the
// first write on its header keeps guests away from what is neither the one nor the
// other. Every other COW file of that backing file is worthless afterwards.
func (p *Pair) MergeBack(ctx context.Context, told sparse.Told) error {
	if err := p.Version.CheckName(p.Backing); err != nil { // the mark lies behind it
		return err
	}
	p.Merging = true
	if err := p.commit(); err != nil {
		return err
	}
	p.MTime = never
	if err := p.commit(); err != nil {
		return err
	}
	err := p.runs(0, (p.Size-1)/Sector+1, func(from, to int64, own bool) error {
		begin, end := from*Sector, min(to*Sector, p.Size)
		if own {
			return sparse.Overwrite(ctx, p.backing, p.f, p.DataAt()+begin, p.DataAt()+end, begin, told)
		}
		if told != nil {
			told(end - begin)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := p.backing.Sync(); err != nil {
		return err
	}
	return p.empty()
}

// empty: all that the COW file has is in the backing file.
func (p *Pair) empty() error {
	for _, step := range []struct{ from, to int64 }{{p.BitmapAt(), p.BitmapAt() + p.BitmapLen()}, {p.DataAt(), p.DataAt() + p.Size}} {
		if err := sparse.Clear(p.f, step.from, step.to); err != nil {
			return err
		}
		if err := p.f.Sync(); err != nil {
			return err
		}
	}
	st, err := p.backing.Stat()
	if err != nil {
		return err
	}
	// The mark goes last, since a power cut may keep one page of a header and not the other:
	// without it and with the time still to be written nobody would know the pair for right.
	p.MTime = p.Version.seconds(st.ModTime().Unix())
	if err := p.commit(); err != nil {
		return err
	}
	p.Merging = false
	return p.commit()
}

func (p *Pair) commit() error {
	if err := p.write(p.f); err != nil {
		return err
	}
	return p.f.Sync()
}
