package kernels

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"uml/fault"
	"uml/tool"
)

// A tree is a copy of a release's modules: regular files and directories alone, root's and
// for all to read. The links build and source, which lead to where a kernel was built,
// are of no use in a guest.
type tree struct {
	dir     string
	inodes  int
	blocks  int64 // that their contents take
	modules int
	sum     hash.Hash // of names and contents, in their order
}

// Bounds of what somebody may have put in there.
const (
	maxTreeFiles = 100_000
	maxTreeBytes = 2 << 30
)

// copyTree copies the directory from, which may be anybody's, to dir/name.
func copyTree(from, dir, name string) (*tree, error) {
	src, err := os.OpenRoot(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Permanent("the kernel's modules: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer dst.Close()
	t := &tree{dir: dir, sum: sha256.New(), inodes: 1}
	err = fs.WalkDir(src.FS(), ".", func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case t.inodes == maxTreeFiles || t.blocks*tool.Block > maxTreeBytes:
			return fault.Permanent("%s: has more than %d files or %d bytes", from, maxTreeFiles, int64(maxTreeBytes))
		case e.IsDir():
			t.inodes++
			t.blocks++
			return dst.Mkdir(path.Join(name, at), 0o755)
		case e.Type().IsRegular():
			t.inodes++
			return t.file(src, dst, at, path.Join(name, at))
		}
		return nil
	})
	return t, err
}

func (t *tree) file(src, dst *os.Root, from, to string) error {
	in, err := src.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := dst.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.sum, "%q %d\n", to, st.Size())
	n, err := io.Copy(io.MultiWriter(out, t.sum), io.LimitReader(in, maxTreeBytes))
	t.blocks += (n + tool.Block - 1) / tool.Block
	if strings.HasSuffix(to, ".ko") || strings.Contains(path.Base(to), ".ko.") {
		t.modules++
	}
	// What the filesystem says of its files is the same whenever it is made.
	return errors.Join(err, out.Close(), dst.Chtimes(to, st.ModTime(), st.ModTime()))
}

// id is a UUID that follows from what is in there (RFC 9562, version 8).
func (t *tree) id() string {
	b := t.sum.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
