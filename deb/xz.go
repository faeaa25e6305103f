package deb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"uml/fault"
)

// maxDictionary is what xz -9 takes, the most that dpkg-deb makes. The library makes room
// for whatever size each block names, up to 4 GiB, before it has read anything of it.
const maxDictionary = 64 << 20

// checkXZ goes through an .xz file, whose format is tukaani.org/xz/xz-file-format.txt, as
// far as the library does, without unpacking it: one stream of blocks, each with one
// filter, LZMA2, in a dictionary that is not too large.
func checkXZ(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	header := make([]byte, 12)
	if _, err := io.ReadFull(in, header); err != nil {
		return err
	}
	if string(header[:6]) != "\xfd7zXZ\x00" || header[7] > 15 {
		return fault.Permanent("is no .xz file")
	}
	sum := map[byte]int{0: 0, 1: 4, 4: 8, 10: 32}[header[7]] // of each block, by its kind
	for {
		n, err := checkBlock(in, sum)
		if err != nil || n == 0 {
			return err
		}
	}
}

// checkBlock returns the size of the block's header, 0 for the index behind the last.
func checkBlock(in *bufio.Reader, sum int) (int, error) {
	first, err := in.ReadByte()
	if err != nil || first == 0 {
		return 0, err
	}
	header := make([]byte, (int(first)+1)*4-1)
	if _, err := io.ReadFull(in, header); err != nil {
		return 0, err
	}
	flags, rest := header[0], header[1:]
	if flags&0x03 != 0 {
		return 0, fault.Permanent("has an .xz block of more than one filter")
	}
	for _, has := range []byte{0x40, 0x80} { // sizes, packed and unpacked
		if flags&has != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return 0, fault.Permanent("has a damaged .xz block")
			}
			rest = rest[n:]
		}
	}
	if len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 {
		return 0, fault.Permanent("has an .xz block of another filter than LZMA2")
	}
	if size := dictionary(rest[2]); size > maxDictionary {
		return 0, fault.Permanent("has an .xz block whose dictionary is %d bytes, more than %d", size, maxDictionary)
	}
	n, err := skipChunks(in)
	if err != nil {
		return 0, err
	}
	_, err = in.Discard(int(-n&3) + sum)
	return len(header), err
}

// dictionary is 2 or 3 times a power of 2.
func dictionary(b byte) uint64 {
	if b > 40 {
		return 1 << 63
	}
	return (2 | uint64(b)&1) << (b/2 + 11)
}

// skipChunks passes over LZMA2's chunks, and returns their size with that of what ends
// them.
func skipChunks(in *bufio.Reader) (n int64, err error) {
	for {
		control, err := in.ReadByte()
		if err != nil {
			return n, err
		}
		n++
		head := 2 // sizes less 1, big endian
		switch {
		case control == 0:
			return n, nil
		case control >= 0xc0:
			head = 5 // and properties
		case control >= 0x80:
			head = 4
		case control > 2:
			return n, fmt.Errorf("an LZMA2 chunk of kind %d", control)
		}
		b := make([]byte, head)
		if _, err := io.ReadFull(in, b); err != nil {
			return n, err
		}
		size := binary.BigEndian.Uint16(b)
		if control >= 0x80 {
			size = binary.BigEndian.Uint16(b[2:])
		}
		if _, err := in.Discard(int(size) + 1); err != nil {
			return n, err
		}
		n += int64(head) + int64(size) + 1
	}
}
