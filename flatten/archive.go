package flatten

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"uml/fault"
)

// maxWindow bounds the memory that an archive's compression asks for: xz -9 and zstd --ultra
// want no more.
const maxWindow = 128 << 20

var compressions = []struct {
	magic string
	open  func(io.Reader) (io.Reader, error)
}{
	{"\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"\xfd7zXZ\x00", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, maxWindow) }},
	{"\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, error) {
		return zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	}},
}

// IsArchive says whether a file begins as those do that Archive takes.
func IsArchive(head []byte) bool {
	for _, c := range compressions {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return true
		}
	}
	return len(head) >= 512 && string(head[257:262]) == "ustar"
}

// Archive writes a tar archive uncompressed, or what the image in one has. temp makes a file
// without a name; the one that is returned is the archive.
func Archive(ctx context.Context, o Options, in *os.File, temp func() (*os.File, error)) (*os.File, error) {
	st, err := in.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, 512)
	n, err := in.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !IsArchive(head[:n]) {
		return nil, fault.SourceBad.Permanent("%s: is no tar archive, plain or compressed by gzip, xz or zstd", in.Name())
	}
	out, err := temp()
	if err != nil {
		return nil, err
	}
	told, done := o.work("read "+in.Name(), st.Size())
	err = o.inflate(ctx, out, reader{io.NewSectionReader(in, 0, st.Size()), told})
	done()
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("%s: %w", in.Name(), err)
	}
	flat, err := o.image(ctx, out, temp)
	if flat != out || err != nil {
		out.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.Name(), err)
	}
	return flat, nil
}

// inflate writes what r has, uncompressed.
func (o Options) inflate(ctx context.Context, out *os.File, r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<20)
	head, _ := in.Peek(6)
	var from io.Reader = in
	for _, c := range compressions {
		if !bytes.HasPrefix(head, []byte(c.magic)) {
			continue
		}
		var err error
		if from, err = c.open(in); err != nil {
			return fault.Permanent("%w", err)
		}
		if z, ok := from.(*zstd.Decoder); ok {
			defer z.Close()
		}
		break
	}
	w := o.output(ctx, out)
	if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{from}, make([]byte, 1<<20)); err != nil {
		return wrong(ctx, err)
	}
	return w.end()
}

// onlyWriter and onlyReader keep io.Copy to its buffer.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }

// wrong: what a source's bytes are at fault for lasts; a fault knows itself, a full disc and
// an end that was asked for may pass.
func wrong(ctx context.Context, err error) error {
	var path *os.PathError // of the host's own files
	if ctx.Err() != nil || errors.As(err, &path) || fault.Code(err) == fault.MustMend {
		return err
	}
	return fault.SourceBad.Permanent("is damaged: %w", err)
}

// maxBlobs is how many files an archive may have that is an image: other archives are not
// read to their end for it.
const maxBlobs = 10_000

// index are the regular files of an archive, by their names, if it has no more than maxBlobs
// entries.
func index(f *os.File) (map[string]*io.SectionReader, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	all := map[string]*io.SectionReader{}
	at := io.NewSectionReader(f, 0, st.Size())
	r := tar.NewReader(at)
	for range maxBlobs {
		h, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fault.SourceBad.Permanent("is no tar archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		begin, err := at.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		all[clean(h.Name)] = io.NewSectionReader(f, begin, h.Size)
	}
	return nil, nil
}
