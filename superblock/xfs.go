package superblock

import (
	"bytes"
	"encoding/binary"
)

// xfsSize is the part of struct xfs_dsb (fs/xfs/libxfs/xfs_format.h) that is read, from
// the beginning of the disc. It is big-endian.
const xfsSize = 208

// xfs: three sizes bound what it writes at a time. Its blocks hold data; the headers of
// each allocation group are a sector each; and the log is padded to its stripe unit, or
// to 512 bytes if that is 0 or 1 (xlog_alloc_log, l_iclog_roundoff), and at a recovery
// cleared in sectors of the log's own. A log on another device (logstart 0) does not
// count here.
func xfs(head []byte) (f Filesystem, ok bool) {
	b, ok := window(head, 0, xfsSize)
	if !ok || !bytes.HasPrefix(b, []byte("XFSB")) {
		return f, false
	}
	block, sectors := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint16(b[102:])
	if !powerBetween(block, 512, 65536) || !powerBetween(sectors, 512, 32768) {
		return f, false
	}
	f = Filesystem{Kind: XFS, Block: min(int64(block), int64(sectors)), Label: text(b[108:120]), UUID: uuid(b[32:48])}
	f.Size = product(binary.BigEndian.Uint64(b[8:]), uint64(block))
	if binary.BigEndian.Uint64(b[48:]) == 0 {
		return f, true
	}
	logSectors, logUnit := binary.BigEndian.Uint16(b[194:]), binary.BigEndian.Uint32(b[196:])
	f.Block = min(f.Block, max(int64(logSectors), sector), max(int64(logUnit), sector))
	return f, true
}
