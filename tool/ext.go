package tool

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"uml/fault"
)

// Block is that of every filesystem we make: smaller ones the kernel's COW driver reads
// wrongly, and mkfs would take 1024 for a small disc.
const Block = 4096

// Make makes an ext4 filesystem as large as the file.
func (r Runner) Make(ctx context.Context, f *os.File) error { return r.make(ctx, f) }

func (r Runner) make(ctx context.Context, f *os.File, options ...string) error {
	args := append([]string{"-q", "-F", "-b", strconv.Itoa(Block)}, options...)
	code, said, err := r.run(ctx, []*os.File{f}, "mkfs.ext4", append(args, given(0))...)
	if err == nil && code != 0 {
		err = fault.ProgramFailed.Permanent("mkfs.ext4: %s", said)
	}
	return err
}

// MakeOf makes one that has what is in a directory, without a journal and without room for
// more; inodes is how many files and directories that are, id a UUID for it. Owners, modes and times
// are those of the directory's files. ErrRoom says that the file is too small.
func (r Runner) MakeOf(ctx context.Context, f, dir *os.File, inodes int, id string) error {
	code, said, err := r.run(ctx, []*os.File{f, dir}, "mkfs.ext4", "-q", "-F", "-b", strconv.Itoa(Block), "-O", "^has_journal,^resize_inode,^dir_index",
		"-m", "0", "-N", strconv.Itoa(inodes+spareInodes), "-U", id, "-E", "lazy_itable_init=0,hash_seed="+id, "-d", given(1)+"/.", given(0))
	if err == nil && code != 0 && strings.Contains(said, "Could not allocate block") {
		return ErrRoom
	}
	if err == nil && code != 0 {
		err = fault.ProgramFailed.Permanent("mkfs.ext4: %s", said)
	}
	return err
}

// ErrRoom is of a filesystem that is too small for what it is to have.
var ErrRoom = fault.NoRoom.Permanent("mkfs.ext4: there is no room for all")

// spareInodes are those that ext4 keeps for itself, and lost+found's.
const spareInodes = 12

// What e2fsck's exit code is made of (e2fsck(8)).
const (
	mended   = 1 | 2
	unmended = 4
)

// Check is e2fsck of all of an ext filesystem, whatever it says of itself. It changes
// nothing, or with mend what needs no question: sound is what it is then.
func (r Runner) Check(ctx context.Context, f *os.File, mend bool) (sound bool, said string, err error) {
	how := "-n"
	if mend {
		how = "-p"
	}
	code, said, err := r.run(ctx, []*os.File{f}, "e2fsck", "-f", how, given(0))
	if err != nil {
		return false, "", err
	}
	if code&unmended == 0 && code&^mended != 0 {
		return false, "", fmt.Errorf("e2fsck: exit code %d: %s", code, said)
	}
	return code&unmended == 0, said, nil
}

// Resize gives an ext filesystem another size in bytes, whole blocks of it. The file is
// at least as large. Only one that Check found sound may be resized.
func (r Runner) Resize(ctx context.Context, f *os.File, size int64) error {
	code, said, err := r.run(ctx, []*os.File{f}, "resize2fs", "-f", given(0), strconv.FormatInt(size/1024, 10)+"K")
	if err == nil && code != 0 {
		said, _, _ = strings.Cut(said, " Please run") // e2fsck on a copy that is nobody's any more
		err = fault.ProgramFailed.Permanent("resize2fs: %s (nothing was changed)", said)
	}
	return err
}

// MakeWhole is Make of a filesystem that its kernel need not finish: many guests stand on
// it, and each would write the same tables.
func (r Runner) MakeWhole(ctx context.Context, f *os.File) error {
	return r.make(ctx, f, "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard")
}
