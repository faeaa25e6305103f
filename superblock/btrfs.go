package superblock

import (
	"bytes"
	"encoding/binary"
)

// The first superblock of btrfs: struct btrfs_super_block, include/uapi/linux/btrfs_tree.h.
// The kernel mounts by no other copy.
const (
	btrfsAt   = 64 << 10
	btrfsSize = 4096
)

// btrfs: of a filesystem on several devices Size is what is on this one.
func btrfs(head []byte) (f Filesystem, ok bool) {
	b, ok := window(head, btrfsAt, btrfsSize)
	if !ok || !bytes.HasPrefix(b[0x40:], []byte("_BHRfS_M")) || binary.LittleEndian.Uint64(b[0x30:]) != btrfsAt {
		return f, false
	}
	sectors := binary.LittleEndian.Uint32(b[0x90:])
	if !powerBetween(sectors, 512, 65536) {
		return f, false
	}
	const devItem = 0xc9
	return Filesystem{
		Kind:  Btrfs,
		Block: int64(sectors),
		Size:  product(binary.LittleEndian.Uint64(b[devItem+8:]), 1),
		Label: text(b[0x12b:0x22b]),
		UUID:  uuid(b[0x20:0x30]),
	}, true
}
