// Package cow reads and writes the copy-on-write files of User-Mode Linux's block
// device (paper 5.1; arch/um/drivers/cow_user.c): a header, a bitmap with one bit
// for each sector of the disc, and as many bytes as the disc has, of which only
// the sectors are there that were written.
//
// It reads rightly what the kernel's driver does not (see Halves), and writes only
// what the kernel reads rightly. It opens no file: a header's name of the backing
// file is whatever the guest's kernel wrote, and for others to believe or not. A
// pair must not be in use by a guest meanwhile.
package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"

	"uml/fault"
)

// Sector is the driver's, in bytes: one bit of the bitmap.
const Sector = 512

// Page is the memory page of all hosts of User-Mode Linux, and of their guests. A
// byte of the bitmap is a page of the disc.
const Page = 4096

// ErrNone: the file is no COW file.
var ErrNone = errors.New("is no COW file")

// Version is the layout of a header.
type Version int

// V1 to V3 are the kernel's. Broken is version 3 as 64-bit kernels wrote it before
// December 2005, read but never made.
const (
	V1 Version = 1 + iota
	V2
	V3
	Broken
)

func (v Version) String() string {
	return [...]string{"", "1", "2", "3", "3 of a 64-bit kernel before 2.6.15"}[v]
}

// A Header says what the disc is a copy of, and where its own sectors lie.
type Header struct {
	Version Version
	Backing string // as the guest's kernel names it, in its jail
	MTime   int64  // of the backing file when the COW file was made, Unix seconds
	Size    int64  // bytes of the backing file and of the disc
	Align   int64  // of bitmap and data, from version 3 on
	Merging bool   // its sectors are being written into the backing file

	order binary.ByteOrder
}

// layout is where the fields of a version lie, and how many bytes it has in all.
type layout struct {
	name, nameLen, mtime, size, sector, align, format, length int64
}

var layouts = [...]layout{
	V1:     {8, 256, 264, 268, 276, 0, 0, 280},
	V2:     {8, 4096, 4104, 4108, 4116, 0, 0, 4120},
	V3:     {32, 4096, 8, 12, 20, 24, 28, 4128},
	Broken: {36, 4096, 8, 16, 24, 28, 32, 4136},
}

// HeaderLen is how much of a file Parse wants to see, if it has as much.
const HeaderLen = 4136

// magic is MOOO, as the kernel's number has it.
const magic = 0x4f4f4f4d

// maxData: the kernel counts the bytes before the data in an int (cow_sizes), which
// ends what it can have at some 8 TiB.
const maxData = math.MaxInt32

// merging stands at the end of the name's field, behind the name's NUL, where the
// kernel does not look.
const merging = "uml-disk: being merged"

// Read is Parse of a file's beginning.
func Read(r io.ReaderAt) (*Header, error) {
	buf := make([]byte, HeaderLen)
	n, err := r.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return Parse(buf[:n])
}

// Parse reads a header. ErrNone is for what has none; one that the kernel could not
// work with is a permanent fault, whatever stands in it.
func Parse(b []byte) (*Header, error) {
	version, order, err := versionOf(b)
	if err != nil {
		return nil, err
	}
	l := layouts[version]
	if int64(len(b)) < l.length {
		return nil, fault.Permanent("is a COW file that ends in its header")
	}
	h := &Header{Version: version, Align: Sector, order: order}
	name := b[l.name : l.name+l.nameLen]
	text, _, ended := bytes.Cut(name, []byte{0})
	h.Backing, h.Merging = string(text), bytes.HasSuffix(name, []byte(merging))
	u32 := func(at int64) int64 { return int64(order.Uint32(b[at:])) }
	h.MTime = u32(l.mtime)
	if version == Broken {
		h.MTime = int64(order.Uint64(b[l.mtime:]))
	}
	size := order.Uint64(b[l.size:])
	if l.align != 0 {
		h.Align = u32(l.align)
	}
	switch {
	case !ended || h.Backing == "":
		return nil, bad("no name of a backing file that fits it")
	case size == 0 || size > math.MaxInt64:
		return nil, bad("a disc of %d bytes", size)
	case u32(l.sector) != Sector:
		return nil, bad("sectors of %d bytes, not %d", u32(l.sector), Sector)
	case h.Align < Sector || h.Align > 1<<20 || bits.OnesCount64(uint64(h.Align)) != 1:
		return nil, bad("an alignment of %d bytes", h.Align)
	case l.format != 0 && u32(l.format) != 0:
		return nil, bad("format %d, not 0", u32(l.format))
	}
	h.Size = int64(size)
	if h.DataAt() > maxData {
		return nil, bad("a disc of %d bytes, more than the kernel can have", size)
	}
	return h, nil
}

func bad(format string, args ...any) error {
	return fault.Permanent("has a damaged COW header: %s", fmt.Sprintf(format, args...))
}

// versionOf tells the versions apart as the kernel does. Of version 1 each machine
// wrote its own byte order, of the others all the same.
func versionOf(b []byte) (Version, binary.ByteOrder, error) {
	if len(b) < 8 {
		return 0, nil, ErrNone
	}
	var order binary.ByteOrder = binary.BigEndian
	if binary.LittleEndian.Uint32(b) == magic {
		order = binary.LittleEndian
	} else if order.Uint32(b) != magic {
		return 0, nil, ErrNone
	}
	v := order.Uint32(b[4:])
	switch {
	case v == 1:
		return V1, order, nil
	case v > 3 || v == 0:
		return 0, nil, bad("version %d", v)
	case order == binary.LittleEndian:
		return 0, nil, bad("version %d in the byte order of version 1", v)
	case v == 2:
		return V2, order, nil
	case len(b) >= 36 && bytes.Equal(b[32:36], make([]byte, 4)): // where version 3 has the name
		return Broken, order, nil
	}
	return V3, order, nil
}

// marshal is the header as it stands in a file.
func (h *Header) marshal() []byte {
	l := layouts[h.Version]
	b := make([]byte, l.length)
	h.order.PutUint32(b, magic)
	h.order.PutUint32(b[4:], uint32(min(h.Version, V3)))
	copy(b[l.name:], h.Backing)
	if h.Merging {
		copy(b[l.name+l.nameLen-int64(len(merging)):], merging)
	}
	h.order.PutUint32(b[l.mtime:], uint32(h.MTime))
	if h.Version == Broken {
		h.order.PutUint64(b[l.mtime:], uint64(h.MTime))
	}
	h.order.PutUint64(b[l.size:], uint64(h.Size))
	h.order.PutUint32(b[l.sector:], Sector)
	if l.align != 0 {
		h.order.PutUint32(b[l.align:], uint32(h.Align))
	}
	return b
}

// CheckName says whether a header can hold the backing file's name, and the kernel
// be told it.
func (v Version) CheckName(name string) error {
	most := layouts[v].nameLen - 1 - int64(len(merging))
	if name == "" || int64(len(name)) > most || strings.IndexByte(name, 0) >= 0 {
		return fault.Permanent("%q: cannot be a backing file's name in a COW file of version %v (1 to %d bytes)", name, v, most)
	}
	return nil
}

// BitmapAt is the bitmap's offset in the file.
func (h *Header) BitmapAt() int64 {
	if h.Version < V3 {
		return layouts[h.Version].length
	}
	return roundUp(layouts[h.Version].length, h.Align)
}

// BitmapLen is the bitmap's length in bytes. That of versions 1 and 2 is rounded
// down: the sectors of a disc's last page that is not whole have no bit.
func (h *Header) BitmapLen() int64 {
	sectors := (h.Size-1)/Sector + 1
	if h.Version < V3 {
		return sectors / 8
	}
	return (sectors-1)/8 + 1
}

// DataAt is the offset at which sector 0 would lie.
func (h *Header) DataAt() int64 {
	return roundUp(h.BitmapAt()+h.BitmapLen(), h.Align)
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
