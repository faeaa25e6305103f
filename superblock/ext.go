package superblock

import "encoding/binary"

// The superblock of ext2, 3 and 4: struct ext4_super_block, fs/ext4/ext4.h. It lies
// behind 1024 bytes left for a boot block, whatever the block size.
const (
	extAt    = 1024
	extSize  = 1024
	extMagic = 0xef53

	extHasJournal = 0x4 // compatible
	extSparse     = 0x1 // read-only compatible: what ext2 and ext3 know
	extLarge      = 0x2
	extBtreeDir   = 0x4
	extFiletype   = 0x2 // incompatible: likewise
	extRecover    = 0x4
	extJournalDev = 0x8
	extMetaBG     = 0x10
	ext64bit      = 0x80
)

func ext(head []byte) (f Filesystem, ok bool) {
	b, ok := window(head, extAt, extSize)
	if !ok || binary.LittleEndian.Uint16(b[0x38:]) != extMagic {
		return f, false
	}
	log := binary.LittleEndian.Uint32(b[0x18:])
	if log > 6 { // EXT4_MAX_BLOCK_LOG_SIZE, 64 KiB
		return f, false
	}
	blocks := uint64(binary.LittleEndian.Uint32(b[0x4:]))
	compat, incompat, ro := binary.LittleEndian.Uint32(b[0x5c:]), binary.LittleEndian.Uint32(b[0x60:]), binary.LittleEndian.Uint32(b[0x64:])
	if incompat&ext64bit != 0 {
		blocks |= uint64(binary.LittleEndian.Uint32(b[0x150:])) << 32
	}
	f = Filesystem{Kind: extKind(compat, incompat, ro), Block: 1024 << log, Label: text(b[0x78:0x88]), UUID: uuid(b[0x68:0x78])}
	f.Size = product(blocks, uint64(f.Block))
	return f, true
}

// extKind is what blkid(8) calls it: by what the filesystem uses, not by the mkfs.
func extKind(compat, incompat, ro uint32) Kind {
	switch {
	case incompat&extJournalDev != 0:
		return ExtJournal
	case ro&^(extSparse|extLarge|extBtreeDir) != 0, incompat&^(extFiletype|extRecover|extMetaBG) != 0:
		return Ext4
	case compat&extHasJournal != 0:
		return Ext3
	}
	return Ext2
}
