package superblock

import (
	"bytes"
	"encoding/binary"
)

// swap is an area of version 1: union swap_header, include/linux/swap.h. Its magic ends
// the first page, so where it lies tells the size of a page on the machine that it was
// made for. It is in that machine's byte order; little-endian is all that we run on.
func swap(head []byte) (f Filesystem, ok bool) {
	const magic, info, version = "SWAPSPACE2", 1024, 1
	for page := 4096; page <= 65536 && page <= len(head); page *= 2 {
		if !bytes.HasSuffix(head[:page], []byte(magic)) || binary.LittleEndian.Uint32(head[info:]) != version {
			continue
		}
		return Filesystem{
			Kind:  Swap,
			Block: int64(page),
			Size:  product(uint64(binary.LittleEndian.Uint32(head[info+4:]))+1, uint64(page)),
			UUID:  uuid(head[info+12 : info+28]),
			Label: text(head[info+28 : info+44]),
		}, true
	}
	return f, false
}
