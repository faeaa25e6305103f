package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"

	"uml/sparse"
)

// Digest is the sha256 of a whole image, whose holes are not read.
func Digest(ctx context.Context, f *os.File, size int64, told sparse.Told) (string, error) {
	d := digest{h: sha256.New(), told: told, buf: make([]byte, 1<<20)}
	err := sparse.Extents(f, 0, size, func(from, to int64) error {
		if err := d.zeros(ctx, from); err != nil {
			return err
		}
		return d.data(ctx, f, to)
	})
	if err == nil {
		err = d.zeros(ctx, size)
	}
	return hex.EncodeToString(d.h.Sum(nil)), err
}

type digest struct {
	h    hash.Hash
	at   int64
	told sparse.Told
	buf  []byte
}

var zero [1 << 20]byte

func (d *digest) zeros(ctx context.Context, to int64) error {
	for d.at < to && ctx.Err() == nil {
		d.take(zero[:min(int64(len(zero)), to-d.at)])
	}
	return ctx.Err()
}

func (d *digest) data(ctx context.Context, f *os.File, to int64) error {
	for d.at < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(d.buf[:min(int64(len(d.buf)), to-d.at)], d.at)
		if n == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		d.take(d.buf[:n])
	}
	return nil
}

func (d *digest) take(b []byte) {
	d.h.Write(b)
	d.at += int64(len(b))
	if d.told != nil {
		d.told(int64(len(b)))
	}
}
