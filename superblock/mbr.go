package superblock

import (
	"encoding/binary"
	"slices"
)

type partition struct {
	number   int
	at, room int64 // bytes
}

// An entry is one of the four of a boot sector: block/partitions/msdos.c, which is
// followed here in what it believes.
type entry struct {
	boot, kind   byte
	start, count int64 // sectors
}

func (e entry) extended() bool {
	return e.count > 0 && slices.Contains([]byte{0x05, 0x0f, 0x85}, e.kind)
}

const (
	tableAt    = 446
	protective = 0xee // the whole disc is a GPT's
)

// partitions are those that the guest's kernel makes of the disc.
func (d disc) partitions() ([]partition, error) {
	entries, ok, err := d.table(0)
	if err != nil || !ok {
		return nil, err
	}
	if slices.ContainsFunc(entries, func(e entry) bool { return e.kind == protective }) {
		if parts, ok, err := d.gpt(); ok || err != nil {
			return parts, err
		}
	}
	var parts []partition
	for i, e := range entries {
		if e.extended() {
			continue
		}
		parts = d.add(parts, i+1, e.start, e.count)
	}
	for _, e := range entries {
		if !e.extended() {
			continue
		}
		if parts, err = d.logical(parts, e.start); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// logical follows the chain of an extended partition, each link of which has a boot
// sector with the next partition and the next link. A chain may be endless.
func (d disc) logical(parts []partition, first int64) ([]partition, error) {
	number := 5
	for _, p := range parts {
		number = max(number, p.number+1)
	}
	link := first
	for range maxPartitions {
		entries, ok, err := d.table(link)
		if err != nil || !ok {
			return parts, err
		}
		next := int64(0)
		for _, e := range entries {
			if e.extended() {
				if next == 0 {
					next = first + e.start
				}
				continue
			}
			before := len(parts)
			if parts = d.add(parts, number, link+e.start, e.count); len(parts) > before {
				number++
			}
		}
		if next == 0 {
			return parts, nil
		}
		link = next
	}
	return parts, nil
}

// table is the boot sector's, at that sector, if it has one: a filesystem's boot sector
// ends with the same magic, but has code where the first byte of an entry is a flag.
func (d disc) table(at int64) (entries []entry, ok bool, err error) {
	b, err := d.read(at*sector, sector)
	if err != nil || b[510] != 0x55 || b[511] != 0xaa {
		return nil, false, err
	}
	for i := range 4 {
		e := b[tableAt+16*i:]
		if e[0] != 0 && e[0] != 0x80 {
			return nil, false, nil
		}
		entries = append(entries, entry{e[0], e[4], int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))})
	}
	return entries, true, nil
}

// add leaves out what begins behind the end of the disc, and cuts what ends there, as
// the kernel does (block/partitions/core.c).
func (d disc) add(parts []partition, number int, start, count int64) []partition {
	sectors := d.size / sector
	if start <= 0 || count <= 0 || start >= sectors || len(parts) >= maxPartitions {
		return parts
	}
	return append(parts, partition{number, start * sector, min(count, sectors-start) * sector})
}
