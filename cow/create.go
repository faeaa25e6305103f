package cow

import (
	"encoding/binary"
	"os"

	"uml/fault"
)

// Create makes f, which is empty, a COW file without a sector of its own: of a backing
// file of that size and time of change, which the guest's kernel opens by name.
func Create(f *os.File, version Version, name string, size, mtime int64) (*File, error) {
	if err := version.CheckName(name); err != nil {
		return nil, err
	}
	if err := CheckSize(size); err != nil {
		return nil, fault.Permanent("%s: %w", name, err)
	}
	h := &Header{Version: version, Backing: name, MTime: version.seconds(mtime), Size: size, Align: Page, order: binary.BigEndian}
	if version == V1 {
		h.order = native()
	}
	if version < V3 {
		h.Align = Sector
	}
	if h.DataAt() > maxData {
		return nil, fault.Permanent("%s: is %d bytes: a COW file's disc has at most some 8T", name, size)
	}
	if err := f.Truncate(h.DataAt() + size); err != nil {
		return nil, err
	}
	return &File{h, f}, h.write(f)
}

func native() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

func (h *Header) write(f *os.File) error {
	_, err := f.WriteAt(h.marshal(), 0)
	return err
}
