package superblock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// An image is what a disc has in a few places; all else is zeros. It counts what is read.
type image struct {
	at    map[int64][]byte
	reads int64
}

func (m *image) ReadAt(b []byte, off int64) (int, error) {
	m.reads += int64(len(b))
	clear(b)
	for at, part := range m.at {
		if skip := off - at; skip > 0 {
			copy(b, part[min(skip, int64(len(part))):])
		} else if -skip < int64(len(b)) {
			copy(b[-skip:], part)
		}
	}
	return len(b), nil
}

func extSuper() []byte {
	b := make([]byte, extSize)
	binary.LittleEndian.PutUint32(b[4:], 4096)
	binary.LittleEndian.PutUint32(b[0x18:], 2)
	binary.LittleEndian.PutUint16(b[0x38:], extMagic)
	return b
}

func xfsSuper(block uint32, sectors uint16) []byte {
	b := make([]byte, 512)
	copy(b, "XFSB")
	binary.BigEndian.PutUint32(b[4:], block)
	binary.BigEndian.PutUint64(b[8:], 4096)
	binary.BigEndian.PutUint16(b[102:], sectors)
	return b
}

func with(b []byte, at int, put ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], put)
	return b
}

func boot(entries ...entry) []byte {
	b := make([]byte, sector)
	for i, e := range entries {
		p := b[tableAt+16*i:]
		p[0], p[4] = e.boot, e.kind
		binary.LittleEndian.PutUint32(p[8:], uint32(e.start))
		binary.LittleEndian.PutUint32(p[12:], uint32(e.count))
	}
	b[510], b[511] = 0x55, 0xaa
	return b
}

func gptTable(count uint32, entriesAt uint64, first, last uint64) (header, entries []byte) {
	entries = make([]byte, min(count, 4096)*gptEntry)
	if len(entries) > 0 {
		entries[0] = 1
		binary.LittleEndian.PutUint64(entries[32:], first)
		binary.LittleEndian.PutUint64(entries[40:], last)
	}
	b := make([]byte, sector)
	copy(b, "EFI PART")
	binary.LittleEndian.PutUint32(b[12:], 92)
	binary.LittleEndian.PutUint64(b[24:], 1)
	binary.LittleEndian.PutUint64(b[72:], entriesAt)
	binary.LittleEndian.PutUint32(b[80:], count)
	binary.LittleEndian.PutUint32(b[84:], gptEntry)
	binary.LittleEndian.PutUint32(b[88:], crc32.ChecksumIEEE(entries))
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:92]))
	return b, entries
}

func gptDisc(count uint32, entriesAt uint64, first, last uint64) map[int64][]byte {
	h, e := gptTable(count, entriesAt, first, last)
	m := map[int64][]byte{0: boot(entry{0, protective, 1, math.MaxUint32}), sector: h}
	if entriesAt < 1<<40 {
		m[int64(entriesAt)*sector] = e
	}
	return m
}

// Fields that no mkfs writes. What is known of the disc is "kind at Block Size", each.
func TestWrong(t *testing.T) {
	const size = 64 * mib
	super, pages := extSuper(), 4095
	swapHead := make([]byte, 4096)
	swapHead[infoVersion] = 1
	binary.LittleEndian.PutUint32(swapHead[infoVersion+4:], uint32(pages))
	copy(swapHead[4086:], "SWAPSPACE2")
	btr := make([]byte, btrfsSize)
	copy(btr[0x40:], "_BHRfS_M")
	binary.LittleEndian.PutUint64(btr[0x30:], btrfsAt)
	binary.LittleEndian.PutUint32(btr[0x90:], 4096)
	var loop, long map[int64][]byte
	loop = map[int64][]byte{
		0:            boot(entry{0, 5, 1, 1000}),
		sector:       boot(entry{0, 0x83, 7, 8}, entry{0, 5, 1, 100}),
		2 * sector:   boot(entry{0, 0x83, 14, 8}, entry{0, 5, 0, 100}),
		100 * sector: nil,
	}
	long = map[int64][]byte{0: boot(entry{0, 5, 8, 1 << 20})}
	for i := range int64(300) {
		long[(8+i)*sector] = boot(entry{0, 0x83, 8, 8}, entry{0, 5, i + 1, 8})
	}
	for _, c := range []struct {
		name string
		size int64
		at   map[int64][]byte
		want string
	}{
		{"nothing", size, nil, "none 0 0 0"},
		{"no disc", 0, nil, "none 0 0 0"},
		{"a size below zero", -1, nil, "none 0 0 0"},
		{"words", size, map[int64][]byte{100: []byte("words")}, "unknown 0 0 0"},
		{"words behind what is looked at", size, map[int64][]byte{headSize: []byte("words")}, "none 0 0 0"},

		{"ext2", size, map[int64][]byte{1024: super}, "ext2 0 4096 16777216"},
		{"ext of no block size", size, map[int64][]byte{1024: with(super, 0x18, 7)}, "unknown 0 0 0"},
		{"ext of a huge block size", size, map[int64][]byte{1024: with(super, 0x18, 0xff, 0xff, 0xff, 0xff)}, "unknown 0 0 0"},
		{"ext with more blocks than there are bytes", size, map[int64][]byte{1024: with(with(super, 0x60, 0x80), 0x150, 0xff, 0xff, 0xff, 0xff)}, "ext4 0 4096 9223372036854775807"},
		{"the high half counts only with 64bit", size, map[int64][]byte{1024: with(super, 0x150, 0xff)}, "ext2 0 4096 16777216"},
		{"ext cut off", 2047, map[int64][]byte{1024: super}, "unknown 0 0 0"},

		{"xfs", size, map[int64][]byte{0: with(xfsSuper(4096, 4096), 48, 1)}, "xfs 0 512 16777216"},
		{"xfs with a log of large sectors, padded to small ones", size, map[int64][]byte{0: with(with(xfsSuper(4096, 4096), 48, 1), 194, 0x10, 0, 0, 0, 0, 1)}, "xfs 0 512 16777216"},
		{"xfs with a log of small sectors, padded to large ones", size, map[int64][]byte{0: with(with(xfsSuper(4096, 4096), 48, 1), 194, 0, 0, 0, 0, 0x10, 0)}, "xfs 0 512 16777216"},
		{"xfs with a log of large sectors, padded to such", size, map[int64][]byte{0: with(with(xfsSuper(4096, 4096), 48, 1), 194, 0x10, 0, 0, 0, 0x10, 0)}, "xfs 0 4096 16777216"},
		{"xfs with its log elsewhere", size, map[int64][]byte{0: xfsSuper(4096, 4096)}, "xfs 0 4096 16777216"},
		{"xfs of no block size", size, map[int64][]byte{0: xfsSuper(0, 4096)}, "unknown 0 0 0"},
		{"xfs of an odd block size", size, map[int64][]byte{0: xfsSuper(4095, 512)}, "unknown 0 0 0"},
		{"xfs of no sector size", size, map[int64][]byte{0: xfsSuper(4096, 0)}, "unknown 0 0 0"},
		{"xfs of small sectors", size, map[int64][]byte{0: xfsSuper(4096, 256)}, "unknown 0 0 0"},
		{"xfs of large sectors", size, map[int64][]byte{0: xfsSuper(4096, 32768)}, "xfs 0 4096 16777216"},
		{"xfs with more blocks than there are bytes", size, map[int64][]byte{0: with(xfsSuper(4096, 4096), 8, 0xff)}, "xfs 0 4096 9223372036854775807"},

		{"btrfs", size, map[int64][]byte{btrfsAt: btr}, "btrfs 0 4096 0"},
		{"btrfs that says it lies elsewhere", size, map[int64][]byte{btrfsAt: with(btr, 0x30, 1)}, "unknown 0 0 0"},
		{"btrfs of odd sectors", size, map[int64][]byte{btrfsAt: with(btr, 0x90, 1)}, "unknown 0 0 0"},
		{"btrfs cut off", headSize - 1, map[int64][]byte{btrfsAt: btr}, "unknown 0 0 0"},

		{"swap", size, map[int64][]byte{0: swapHead}, "swap 0 4096 16777216"},
		{"swap of version 0", size, map[int64][]byte{0: with(swapHead, 1024, 0)}, "unknown 0 0 0"},
		{"swap of 2^32 pages", size, map[int64][]byte{0: with(swapHead, 1028, 0xff, 0xff, 0xff, 0xff)}, "swap 0 4096 17592186044416"},

		{"boot code, no table", size, map[int64][]byte{0: with(boot(entry{0, 0x83, 8, 8}), tableAt, 0xe8)}, "unknown 0 0 0"},
		{"an empty table", size, map[int64][]byte{0: boot()}, "unknown 0 0 0"},
		{"a partition at 0", size, map[int64][]byte{0: boot(entry{0, 0x83, 0, 8})}, "unknown 0 0 0"},
		{"a partition behind the end", size, map[int64][]byte{0: boot(entry{0, 0x83, math.MaxUint32, 8})}, "unknown 0 0 0"},
		{"a partition over the end", 16 * sector, map[int64][]byte{0: boot(entry{0, 0x83, 8, math.MaxUint32})}, "none 4096 0 0"},
		{"a filesystem beside a table", size, map[int64][]byte{0: boot(entry{0, 0x83, 2048, 8}), 1024: super, mib + 1024: super}, "ext2 0 4096 16777216, ext2 1048576 4096 16777216"},
		{"a swap with a boot block in a partition", size, map[int64][]byte{0: boot(entry{0x80, 0x82, 2048, 80}), mib: swapHead}, "swap 1048576 4096 16777216"},
		{"an extended partition that is not there", size, map[int64][]byte{0: boot(entry{0, 5, 7, 8}, entry{0, 0x83, 8, 8})}, "none 4096 0 0"},

		{"no GPT behind a protective boot sector", size, map[int64][]byte{0: boot(entry{0, protective, 8, 8})}, "none 4096 0 0"},
		{"gpt", size, gptDisc(4, 2, 8, 15), "none 4096 0 0"},
		{"gpt without entries", size, gptDisc(0, 2, 8, 15), "unknown 0 0 0"},
		{"gpt of too many entries", size, gptDisc(1025, 2, 8, 15), "unknown 512 0 0"},
		{"gpt of 2^32-1 entries", size, gptDisc(math.MaxUint32, 2, 8, 15), "unknown 512 0 0"},
		{"gpt with entries behind the end", size, gptDisc(4, math.MaxUint64, 8, 15), "unknown 512 0 0"},
		{"gpt with entries at 2^63", size, gptDisc(4, 1<<54, 8, 15), "unknown 512 0 0"},
		{"gpt, a partition that ends before it begins", size, gptDisc(4, 2, 15, 8), "unknown 0 0 0"},
		{"gpt, a partition behind the end", size, gptDisc(4, 2, math.MaxUint64-1, math.MaxUint64), "unknown 0 0 0"},
		{"gpt, a partition over the end", size, gptDisc(4, 2, 8, 1<<40), "unknown 0 0 0"},
	} {
		m := &image{at: c.at}
		found, err := Look(m, c.size)
		var got []string
		for _, f := range found {
			got = append(got, strings.Join([]string{string(f.Kind), itoa(f.At), itoa(f.Block), itoa(f.Size)}, " "))
		}
		if s := strings.Join(got, ", "); s != c.want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", c.name, s, err, c.want)
		}
	}
	for name, at := range map[string]map[int64][]byte{"a chain that is a loop": loop, "a long chain": long} {
		m := &image{at: at}
		found, err := Look(m, size)
		if len(found) > maxPartitions || err != nil || m.reads > (maxPartitions+2)*(headSize+sector) {
			t.Errorf("%s: got %d partitions (%v) for %d bytes read", name, len(found), err, m.reads)
		}
	}
}

const infoVersion = 1024

type broken struct{ error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.error }

// A disc that is cut off while it is read is read as zeros; one that cannot be read is not.
func TestReads(t *testing.T) {
	if found, err := Look(bytes.NewReader(nil), mib); len(found) != 1 || found[0].Kind != None || err != nil {
		t.Errorf("cut off: got %+v, %v", found, err)
	}
	bad := errors.New("bad")
	if found, err := Look(broken{bad}, mib); !errors.Is(err, bad) {
		t.Errorf("got %+v, %v, want %v", found, err, bad)
	}
	if _, err := Look(broken{io.ErrUnexpectedEOF}, mib); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestOnCOW(t *testing.T) {
	for _, c := range []struct {
		f       Filesystem
		verdict Verdict
		want    string
	}{
		{Filesystem{Kind: Ext4, Block: 4096, Room: 100}, Safe, ""},
		{Filesystem{Kind: Ext4, Block: 1024}, Unsafe, "ext4 with blocks of 1024 bytes: the kernel's COW driver reads it wrongly"},
		{Filesystem{Kind: XFS, Block: 512, Partition: 2, At: mib}, Unsafe, "xfs with blocks of 512 bytes on partition 2: the kernel's COW driver reads it wrongly"},
		{Filesystem{Kind: Ext4, Block: 4096, Partition: 1, At: 63 * 512}, Unsafe, "partition 1 begins at byte 32256, no multiple of 4096: the kernel's COW driver reads it wrongly"},
		{Filesystem{Kind: None, Partition: 1, At: mib, Room: mib + 512}, Unsafe, "partition 1 is 1049088 bytes, no multiple of 4096: the kernel's COW driver reads it wrongly"},
		{Filesystem{Kind: None}, Safe, ""},
		{Filesystem{Kind: Unknown}, Doubtful, "the disc holds no filesystem that is known: if it writes less than 4096 bytes at a time, the kernel's COW driver reads it wrongly"},
	} {
		if v, why := c.f.OnCOW(); v != c.verdict || why != c.want {
			t.Errorf("%+v: got %d, %s, want %d, %s", c.f, v, why, c.verdict, c.want)
		}
	}
}

// Whatever lies on it: little is read, and all that is said of it is of this disc.
func FuzzLook(f *testing.F) {
	f.Add([]byte(nil), []byte(nil), int64(0), int64(mib))
	f.Add(boot(entry{0, 5, 8, 8}), boot(entry{0, 0x83, 8, 8}, entry{0, 5, 1, 8}), int64(8*sector), int64(mib))
	f.Add([]byte("XFSB"), extSuper(), int64(1024), int64(mib))
	f.Add(xfsSuper(4096, 512), []byte("_BHRfS_M"), int64(btrfsAt+0x40), int64(mib))
	h, e := gptTable(4, 2, 8, 15)
	f.Add(append(boot(entry{0, protective, 1, 100}), h...), e, int64(2*sector), int64(mib))
	f.Add([]byte(nil), []byte("SWAPSPACE2"), int64(4086), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, first, second []byte, at, size int64) {
		at = max(at, 0)
		m := &image{at: map[int64][]byte{0: first, at: second}}
		found, err := Look(m, size)
		if err != nil || len(found) == 0 || len(found) > maxPartitions+1 {
			t.Fatalf("got %d found, %v", len(found), err)
		}
		if m.reads > (maxPartitions+1)*(headSize+2*sector)+2*1024*gptEntry {
			t.Errorf("got %d bytes read", m.reads)
		}
		for _, g := range found {
			if g.At < 0 || g.Room < 0 || g.At+g.Room > max(size, 0) || g.Block < 0 || g.Size < 0 {
				t.Errorf("got %+v of %d bytes", g, size)
			}
			if v, why := g.OnCOW(); (v == Safe) != (why == "") {
				t.Errorf("%+v: got %d, %q", g, v, why)
			}
		}
	})
}
