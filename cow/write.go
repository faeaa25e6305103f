package cow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"uml/fault"
	"uml/sparse"
)

// Create makes f, which is empty, a COW file without a sector of its own: of a backing
// file of that size and time of change, which the guest's kernel opens by name.
func Create(f *os.File, version Version, name string, size, mtime int64) (*File, error) {
	if err := version.CheckName(name); err != nil {
		return nil, err
	}
	if err := CheckSize(size); err != nil {
		return nil, fault.Permanent("%s: %w", name, err)
	}
	h := &Header{Version: version, Backing: name, MTime: version.seconds(mtime), Size: size, Align: Page, order: binary.BigEndian}
	if version == V1 {
		h.order = native()
	}
	if version < V3 {
		h.Align = Sector
	}
	if h.DataAt() > maxData {
		return nil, fault.Permanent("%s: is %d bytes: a COW file's disc has at most some 8T", name, size)
	}
	if err := f.Truncate(h.DataAt() + size); err != nil {
		return nil, err
	}
	return &File{h, f}, h.write(f)
}

func native() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

func (h *Header) write(f *os.File) error {
	_, err := f.WriteAt(h.marshal(), 0)
	return err
}

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
