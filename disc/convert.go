package disc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"uml/cow"
	"uml/fault"
	"uml/sparse"
)

// A Format is what Convert makes.
type Format string

const (
	ToRaw   Format = "raw"
	ToCOW   Format = "cow"
	ToQcow2 Format = "qcow2"
)

// Convert makes another file of a disc: raw and COW files by ourselves, from and to qcow2
// by qemu-img. backing is that of the COW file that is made, else of the one that is read.
func Convert(ctx context.Context, o Options, from, to string, format Format, backing string) error {
	p, f, err := openTo(from, read)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	dst, err := o.new(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	c := conversion{p: p, dst: dst, in: f}
	return dst.make(func(out *os.File) error {
		if format == ToRaw {
			return c.raw(ctx, o, out, backing)
		}
		own := backing
		if format == ToCOW {
			own = "" // the one that is read goes by its settings or its header
		}
		whole, err := c.whole(ctx, o, own)
		if err != nil {
			return err
		}
		if whole != f {
			defer whole.Close()
		}
		switch format {
		case ToQcow2:
			return dst.runner().ToQcow2(ctx, out, whole)
		case ToCOW:
			return c.onto(ctx, o, out, whole, backing)
		}
		return fault.Usage.Permanent("%q is no format (try raw, cow or qcow2)", format)
	})
}

type conversion struct {
	p, dst *Place
	in     *os.File
}

// whole is the disc as a raw file: what is read itself, or one without a name.
func (c *conversion) whole(ctx context.Context, o Options, backing string) (*os.File, error) {
	_, err := cow.Read(c.in)
	if err != nil && !isQcow2(c.in) {
		return c.in, nil
	}
	f, err := c.dst.unnamed()
	if err != nil {
		return nil, err
	}
	if err := c.raw(ctx, o, f, backing); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (c *conversion) raw(ctx context.Context, o Options, out *os.File, backing string) error {
	if isQcow2(c.in) {
		return c.fromQcow2(ctx, out)
	}
	if _, err := cow.Read(c.in); err == nil {
		d, unfit, err := openPair(c.p.Path, backing, read, read)
		if err != nil {
			return err
		}
		defer d.Close()
		if unfit != nil {
			return unfit
		}
		told, done := o.work("merge", d.Size)
		defer done()
		return d.Merge(ctx, out, told)
	}
	st, err := c.in.Stat()
	if err != nil {
		return err
	}
	told, done := o.work("copy", st.Size())
	defer done()
	_, err = sparse.Clone(ctx, out, c.in, st.Size(), told)
	return err
}

// fromQcow2: an image is whatever its guest made of it, and while it is read he may change it
// to one that names other files of the host. So it is read from a copy that is root's, by a
// program that has no more rights than the image's owner, into a file of his; what comes out of
// it is copied once more, since he might have that one open.
func (c *conversion) fromQcow2(ctx context.Context, out *os.File) error {
	in, to, run := c.in, out, c.dst.runner()
	if owner := c.p.runner(); owner.UID != 0 && os.Geteuid() == 0 {
		run = owner
		var err error
		if in, err = c.copied(ctx); err != nil {
			return err
		}
		defer in.Close()
		if to, err = c.dst.unnamed(); err != nil {
			return err
		}
		defer to.Close()
		if err := to.Chown(run.UID, run.GID); err != nil {
			return err
		}
	}
	if err := alone(in); err != nil {
		return fault.Permanent("%s: %w", c.p.Path, err)
	}
	if err := run.FromQcow2(ctx, to, in); err != nil || to == out {
		return err
	}
	st, err := to.Stat()
	if err != nil {
		return err
	}
	_, err = sparse.Clone(ctx, out, to, st.Size(), nil)
	return err
}

// copied is what is read, as it is now, without a name and root's to write.
func (c *conversion) copied(ctx context.Context) (*os.File, error) {
	f, err := c.dst.unnamed()
	if err != nil {
		return nil, err
	}
	st, err := c.in.Stat()
	if err == nil {
		err = errors.Join(f.Chown(0, 0), f.Chmod(0o444))
	}
	if err == nil {
		_, err = sparse.Clone(ctx, f, c.in, st.Size(), nil)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// onto makes a COW file of what differs.
func (c *conversion) onto(ctx context.Context, o Options, out, whole *os.File, backing string) error {
	if backing == "" {
		return fault.Usage.Permanent("a COW file wants --backing FILE")
	}
	base, in, err := openBacking(backing, read)
	if err != nil {
		return err
	}
	defer base.Close()
	defer in.Close()
	pair, err := createOn(out, cow.V3, base, in, c.dst)
	if err != nil {
		return err
	}
	st, err := whole.Stat()
	if err != nil {
		return err
	}
	if st.Size() != pair.Size {
		return fault.Permanent("%s: is %d bytes, %s %d: they must be as large", c.p.Path, st.Size(), backing, pair.Size)
	}
	told, done := o.work("compare", pair.Size)
	defer done()
	return pair.Fill(ctx, whole, told)
}

// isQcow2 knows "QFI\xfb" (QEMU's docs/interop/qcow2.txt).
func isQcow2(f *os.File) bool {
	var b [4]byte
	n, _ := f.ReadAt(b[:], 0)
	return n == 4 && string(b[:]) == "QFI\xfb"
}

// alone refuses an image that has qemu-img read other files of the host: a backing file,
// or one for its data.
func alone(f *os.File) error {
	var b [80]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return fmt.Errorf("is cut off")
	}
	const dataFile = 1 << 2 // of the incompatible features
	version := binary.BigEndian.Uint32(b[4:])
	if binary.BigEndian.Uint64(b[8:]) != 0 || version >= 3 && binary.BigEndian.Uint64(b[72:])&dataFile != 0 {
		return fmt.Errorf("is a qcow2 image that needs another file (try: qemu-img convert it to one that stands alone, where you trust it)")
	}
	return nil
}
