package superblock

import "fmt"

// A Verdict is whether the UML kernel's COW driver reads a filesystem rightly.
type Verdict int

const (
	Safe Verdict = iota
	Doubtful
	Unsafe
)

// Page is the guest's, in bytes. The COW driver goes wrong behind a page of which a part
// is in the COW file and a part is not (arch/um/drivers/ubd_kern.c, do_io), so all is
// well while every write is whole pages of the disc.
const Page = 4096

// OnCOW says whether a COW file keeps this filesystem, and if not, why not: a text that
// names it and its fault. The size of the disc itself is not judged.
func (f Filesystem) OnCOW() (v Verdict, why string) {
	const wrong = "the kernel's COW driver reads it wrongly"
	switch {
	case f.At%Page != 0:
		return Unsafe, fmt.Sprintf("%s begins at byte %d, no multiple of %d: %s", f.place(), f.At, Page, wrong)
	case f.Partition != 0 && f.Room%Page != 0:
		// Linux writes to such a device itself in as small blocks as its size
		// has (block/bdev.c, set_init_blocksize; 512 on 6.1.176): fsck and mkfs do that.
		return Unsafe, fmt.Sprintf("%s is %d bytes, no multiple of %d: %s", f.place(), f.Room, Page, wrong)
	case f.Kind == None:
		return Safe, ""
	case f.Kind == Unknown:
		return Doubtful, fmt.Sprintf("%s holds no filesystem that is known: if it writes less than %d bytes at a time, %s", f.place(), Page, wrong)
	case f.Block%Page != 0:
		return Unsafe, fmt.Sprintf("%s with blocks of %d bytes%s: %s", f.Kind, f.Block, f.where(), wrong)
	}
	return Safe, ""
}

func (f Filesystem) place() string {
	if f.Partition == 0 {
		return "the disc"
	}
	return fmt.Sprintf("partition %d", f.Partition)
}

func (f Filesystem) where() string {
	if f.Partition == 0 {
		return ""
	}
	return fmt.Sprintf(" on partition %d", f.Partition)
}
