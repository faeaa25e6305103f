package kernels

import (
	"context"
	"errors"
	"os"

	"uml/tool"
)

// nobody makes the filesystem: what it reads is a package's.
const nobody = 65534

// makeModules makes the disc with a tree of modules in a new file: no larger than it must
// be, since nothing will ever be written there.
func makeModules(ctx context.Context, t *tree, file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	dir, err := os.Open(t.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := f.Chown(nobody, nobody); err != nil {
		return err
	}
	size := t.least()
	for try := 0; ; try++ {
		if err := errors.Join(f.Truncate(0), f.Truncate(size*tool.Block)); err != nil {
			return err
		}
		err = (tool.Runner{UID: nobody, GID: nobody}).MakeOf(ctx, f, dir, t.inodes, t.id())
		if !errors.Is(err, tool.ErrRoom) || try == 20 {
			break
		}
		size += size/100 + 16
	}
	return errors.Join(err, f.Chown(0, 0), f.Chmod(0o444), f.Sync())
}

// least is how many blocks there must be: for contents, inodes of 256 bytes, and of each
// group of 32768 its bitmaps and perhaps a copy of the superblock.
func (t *tree) least() int64 {
	n := t.blocks + int64(t.inodes)*256/tool.Block + 32
	return n + 4*(n/32768+1)
}
