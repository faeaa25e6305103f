package main

import (
	"encoding/binary"
	"os"
)

// makeCOW makes a COW file whatever its size: package cow refuses some on purpose, and
// this is what shows why.
func makeCOW(file, backing string, version int, size int64) error {
	st, err := os.Stat(backing)
	if err != nil {
		return err
	}
	type field struct{ name, mtime, size, sector, length int }
	f := []field{{8, 264, 268, 276, 280}, {8, 4104, 4108, 4116, 4120}, {32, 8, 12, 20, 8192}}[version-1]
	sectors, align := (size+511)/512, int64(512)
	bitmap := size / 512 / 8 // rounded down
	if version == 3 {
		bitmap, align = (sectors+7)/8, 4096
	}
	var order binary.ByteOrder = binary.BigEndian
	if version == 1 {
		order = binary.NativeEndian
	}
	h := make([]byte, f.length)
	order.PutUint32(h, 0x4f4f4f4d)
	order.PutUint32(h[4:], uint32(version))
	copy(h[f.name:], backing)
	order.PutUint32(h[f.mtime:], uint32(st.ModTime().Unix()))
	order.PutUint64(h[f.size:], uint64(size))
	order.PutUint32(h[f.sector:], 512)
	if version == 3 {
		order.PutUint32(h[24:], 4096)
	}
	if err := os.WriteFile(file, h, 0o644); err != nil {
		return err
	}
	data := (int64(f.length) + bitmap + align - 1) / align * align
	return os.Truncate(file, data+sectors*512)
}
