// Package deb reads the files of a Debian package, deb(5): an ar archive with two tar
// archives in it, compressed. It writes nothing itself, runs nothing of the package, and
// believes nothing that the package says of its own size.
package deb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"uml/fault"
)

// Bounds of what a package may hold, however small it is itself. Debian's user-mode-linux
// has 1,600 files and 106 MB.
const (
	maxFiles = 100_000
	maxBytes = 2 << 30
)

// A File is a regular file of a package. Of links, directories and devices nothing is said.
type File struct {
	Name       string // relative, without . and ..: usr/bin/linux.uml
	Size       int64  // bytes, which the reader has exactly
	Executable bool
}

// Is says whether a file begins as a package does.
func Is(head []byte) bool { return bytes.HasPrefix(head, []byte(arMagic)) }

// Each calls do for each file of the package in r, in its order. What is no package, or
// more than one may be, is a permanent fault in words that follow the file's name.
func Each(r io.ReaderAt, do func(f File, text io.Reader) error) error { return each(r, maxBytes, do) }

func each(r io.ReaderAt, most int64, do func(f File, text io.Reader) error) error {
	name, data, err := findData(r)
	if err != nil {
		return err
	}
	unpacked, err := unpack(name, data)
	if err != nil {
		return err
	}
	files := tar.NewReader(&bounded{r: unpacked, most: most})
	for n := 0; ; n++ {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && n == maxFiles {
			err = fault.SourceBad.Permanent("has more than %d files", maxFiles)
		}
		if err != nil {
			return damaged(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		f := File{Name: path.Clean(h.Name), Size: h.Size, Executable: h.Mode&0o111 != 0}
		if !local(f.Name) {
			return fault.SourceBad.Permanent("has a file %q, which no package has", h.Name)
		}
		if err := do(f, judged{files}); err != nil {
			return err
		}
	}
}

// local: a name below a directory, and no longer than a filesystem takes.
func local(name string) bool {
	return name != "." && name != ".." && !path.IsAbs(name) && !strings.HasPrefix(name, "../") && len(name) < 4096
}

// judged reads a file of the package: that one is damaged is said so, and what fails else
// is its writer's.
type judged struct{ io.Reader }

func (j judged) Read(b []byte) (int, error) {
	n, err := j.Reader.Read(b)
	if err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	if err == nil || fault.Code(err) == fault.MustMend {
		return err
	}
	return fault.SourceBad.Permanent("is damaged: %w", err)
}

// maxWindow bounds the memory that a member's compression asks for: dpkg-deb -z9 and
// zstd --ultra want no more.
const maxWindow = 128 << 20

// unpack is the tar archive in a member, by its name's ending.
func unpack(name string, r *io.SectionReader) (tar io.Reader, err error) {
	switch ending := strings.TrimPrefix(name, dataName); ending {
	case "":
		return r, nil
	case ".gz":
		tar, err = gzip.NewReader(r)
	case ".xz":
		tar, err = xz.NewReader(r, maxWindow)
	case ".zst":
		tar, err = zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	default:
		err = fault.SourceBad.Permanent("its files are in %s, and only .gz, .xz and .zst can be read (unpack it by dpkg-deb -x, and add the kernel in it, with --modules)", name)
	}
	return tar, damaged(err)
}

// bounded ends in a fault, not as if that were all.
type bounded struct {
	r          io.Reader
	most, have int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.have == b.most {
		return 0, fault.SourceBad.Permanent("is more than %d bytes unpacked", b.most)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.most-b.have)])
	b.have += int64(n)
	return n, err
}
