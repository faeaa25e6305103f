package cow

import (
	"context"
	"errors"
	"fmt"

	"uml/sparse"
)

// Rename tells the header another name, and the time of change that the backing file
// has now. It is for a backing file that has the same in it: nothing is compared.
func (p *Pair) Rename(name string) error {
	if err := p.Version.CheckName(name); err != nil {
		return err
	}
	st, err := p.backing.Stat()
	if err != nil {
		return err
	}
	p.Backing, p.MTime = name, p.Version.seconds(st.ModTime().Unix())
	return p.commit()
}

// A Disc is what a COW file can be made of: a Pair, or a whole disc's file.
type Disc interface {
	ReadAt(b []byte, off int64) (int, error)
}

// Fill gives a new COW file what of disc differs from its backing file, in whole pages.
func (p *Pair) Fill(ctx context.Context, disc Disc, told sparse.Told) error {
	const piece = 1 << 20
	ours, theirs, bitmap := make([]byte, piece), make([]byte, piece), make([]byte, piece/Page)
	for at := int64(0); at < p.Size; at += piece {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(piece, p.Size-at)
		if k, err := disc.ReadAt(ours[:n], at); int64(k) < n {
			return errors.Join(fmt.Errorf("the disc ends at %d", at+int64(k)), err)
		}
		if err := fill(p.backing, theirs[:n], at); err != nil {
			return err
		}
		if string(ours[:n]) != string(theirs[:n]) {
			if err := p.store(at, ours[:n], theirs[:n], bitmap[:n/Page]); err != nil {
				return err
			}
		}
		if told != nil {
			told(n)
		}
	}
	return nil
}

// store writes those pages that differ.
func (p *Pair) store(at int64, ours, theirs, bitmap []byte) error {
	clear(bitmap)
	r := run{do: func(from, to int64, changed bool) error {
		if !changed {
			return nil
		}
		_, err := p.f.WriteAt(ours[from*Page:to*Page], p.DataAt()+at+from*Page)
		return err
	}}
	for i := range bitmap {
		page := i * Page
		changed := string(ours[page:page+Page]) != string(theirs[page:page+Page])
		if changed {
			bitmap[i] = 0xff
		}
		if err := r.extend(int64(i)+1, changed); err != nil {
			return err
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	_, err := p.f.WriteAt(bitmap, p.BitmapAt()+at/Page)
	return err
}
