// Package swap makes and knows the signature of a Linux swap area, version 1, as
// mkswap(8) writes it, so that no process is started for it.
//
// It looks at nothing but the first page: whether an area is in use, or has bad
// pages, is the guest's to say.
package swap

import (
	"bytes"
	"encoding/binary"

	"uml/settings"
)

// PageSize is that of every host that user-mode Linux runs on, and with it the
// guest's.
const PageSize = 4096

const magic = "SWAPSPACE2" // the last 10 bytes of the first page

// MinPages is the least that mkswap(8) accepts.
const MinPages = 10

// info is the part of union swap_header (include/linux/swap.h) that follows the
// 1024 bytes left for a boot block. It is in the byte order of the machine,
// little-endian on all that we run on. UUID and label stay zero: a guest finds
// its swap by device.
type info struct {
	Version  uint32
	LastPage uint32
	BadPages uint32
}

const (
	infoAt  = 1024
	version = 1
)

// Header is the first page of a swap area of that size; what is left over of a
// page is not used.
func Header(size settings.Size) [PageSize]byte {
	var page [PageSize]byte
	// The page is large enough: Encode cannot fail.
	binary.Encode(page[infoAt:], binary.LittleEndian, info{Version: version, LastPage: lastPage(int64(size))})
	copy(page[PageSize-len(magic):], magic)
	return page
}

// Valid says whether page begins a swap area that fills a file of that size, and
// that a kernel takes: one made by mkswap too, with a label, but not one made
// for another size, another page size or a list of bad pages.
func Valid(page []byte, size int64) bool {
	var got info
	if len(page) < PageSize || size < MinPages*PageSize || !bytes.HasSuffix(page[:PageSize], []byte(magic)) {
		return false
	}
	if _, err := binary.Decode(page[infoAt:], binary.LittleEndian, &got); err != nil {
		return false
	}
	return got == info{Version: version, LastPage: lastPage(size)}
}

func lastPage(size int64) uint32 { return uint32(size/PageSize - 1) }
