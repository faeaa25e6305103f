package cow

import (
	"context"
	"fmt"

	"uml/sparse"
)

// The kernel's driver reads wrongly what follows, in the same request, a page of
// memory of which the COW file has only some sectors: do_io in
// arch/um/drivers/ubd_kern.c goes on from the end of the last run of sectors, not of
// the page. So such pages are to be filled from the backing file.

// halves calls do with the number of each page that is only half in the COW file.
func (c *File) halves(do func(page int64) error) error {
	return c.bytesOf(0, c.BitmapLen(), func(at int64, b []byte) error {
		for len(b) > 0 {
			n := same(b)
			if v := b[0]; v != 0 && v != 0xff && v != c.full(at) {
				if err := do(at); err != nil {
					return err
				}
			}
			at, b = at+int64(n), b[n:]
		}
		return nil
	})
}

// Mend fills them, and says how many. The disc is the same before, after, and whenever
// it is ended: first all data is written and on the host's disc, then the bits.
func (p *Pair) Mend(ctx context.Context) (pages int64, err error) {
	buf := make([]byte, Page)
	err = p.halves(func(page int64) error {
		pages++
		b := buf[:min(Page, p.Size-page*Page)]
		if _, err := p.ReadAt(b, page*Page); err != nil {
			return err
		}
		if _, err := p.f.WriteAt(b, p.DataAt()+page*Page); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil || pages == 0 {
		return 0, err
	}
	if err := p.f.Sync(); err != nil {
		return 0, err
	}
	err = p.halves(func(page int64) error {
		_, err := p.f.WriteAt([]byte{p.full(page)}, p.BitmapAt()+page)
		return err
	})
	if err != nil {
		return 0, err
	}
	return pages, p.f.Sync()
}

// Diff calls do for each stretch of bytes that the COW file has: changed says whether
// it differs from the backing file.
func (p *Pair) Diff(ctx context.Context, told sparse.Told, do func(from, to int64, changed bool) error) error {
	mine, theirs := make([]byte, 1<<20), make([]byte, 1<<20)
	r := run{}
	tell := func(n int64) {
		if told != nil {
			told(n)
		}
	}
	return p.runs(0, (p.Size-1)/Sector+1, func(from, to int64, own bool) error {
		begin, end := from*Sector, min(to*Sector, p.Size)
		if !own {
			tell(end - begin)
			return nil
		}
		r = run{from: begin, at: begin, do: do}
		for begin < end {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(int64(len(mine)), end-begin)
			if err := fill(p.f, mine[:n], p.DataAt()+begin); err != nil {
				return err
			}
			if err := fill(p.backing, theirs[:n], begin); err != nil {
				return err
			}
			for i := int64(0); i < n; i += Sector {
				to := min(i+Sector, n)
				if err := r.extend(begin+to, string(mine[i:to]) != string(theirs[i:to])); err != nil {
					return err
				}
			}
			begin += n
			tell(n)
		}
		return r.end()
	})
}

// CheckSize refuses discs that the kernel's driver cannot have safely on a COW file
// (docs/kernels.md).
func CheckSize(size int64) error {
	switch {
	case size%Page != 0:
		return fmt.Errorf("is %d bytes, no multiple of %d: the guest's kernel would then write less than whole pages, and its COW driver reads what follows one that is half written from the wrong place (try: truncate -s %%%d)", size, Page, Page)
	case size <= 8*8*Sector:
		return fmt.Errorf("is %d bytes: with a bitmap of one word the guest's kernel hangs at the first write (more than %d it must be)", size, 8*8*Sector)
	}
	return nil
}
