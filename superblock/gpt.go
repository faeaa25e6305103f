package superblock

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// gptEntry is the size of an entry: the kernel takes no other (block/partitions/efi.c).
const gptEntry = 128

// A gptHeader is what is used of UEFI 2.10, 5.3.2.
type gptHeader struct {
	own, first, last, entriesAt uint64 // sectors
	count                       uint32
	sum                         uint32 // of the entries
}

// gpt is the table behind the boot sector, or, if that is damaged, its copy at the
// disc's end; false if neither is a table.
func (d disc) gpt() (parts []partition, ok bool, err error) {
	for _, at := range []int64{1, d.size/sector - 1} {
		h, ok, err := d.gptHeader(at)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			continue
		}
		if parts, ok, err = d.gptEntries(h); ok || err != nil {
			return parts, ok, err
		}
	}
	return nil, false, nil
}

func (d disc) gptHeader(at int64) (h gptHeader, ok bool, err error) {
	b, err := d.read(at*sector, sector)
	if err != nil || !bytes.HasPrefix(b, []byte("EFI PART")) {
		return h, false, err
	}
	size := binary.LittleEndian.Uint32(b[12:])
	if size < 92 || size > sector || binary.LittleEndian.Uint32(b[84:]) != gptEntry {
		return h, false, nil
	}
	sum := binary.LittleEndian.Uint32(b[16:])
	clear(b[16:20]) // the sum is over the header with none in it
	if crc32.ChecksumIEEE(b[:size]) != sum {
		return h, false, nil
	}
	h = gptHeader{
		own:       binary.LittleEndian.Uint64(b[24:]),
		first:     binary.LittleEndian.Uint64(b[40:]),
		last:      binary.LittleEndian.Uint64(b[48:]),
		entriesAt: binary.LittleEndian.Uint64(b[72:]),
		count:     binary.LittleEndian.Uint32(b[80:]),
		sum:       binary.LittleEndian.Uint32(b[88:]),
	}
	sectors := uint64(d.size / sector)
	return h, h.own == uint64(at) && h.first < sectors && h.last < sectors && h.entriesAt < sectors && h.count <= 1024, nil
}

func (d disc) gptEntries(h gptHeader) (parts []partition, ok bool, err error) {
	b, err := d.read(int64(h.entriesAt)*sector, int64(h.count)*gptEntry)
	if err != nil || crc32.ChecksumIEEE(b) != h.sum {
		return nil, false, err
	}
	for i := range int(h.count) {
		e := b[i*gptEntry : (i+1)*gptEntry]
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		if len(trimZeros(e[:16])) == 0 || first > last || last >= uint64(d.size/sector) {
			continue
		}
		parts = d.add(parts, i+1, int64(first), int64(last-first)+1)
	}
	return parts, true, nil
}
