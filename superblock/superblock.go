// Package superblock says what filesystems are on a disc, by reading what lies at
// their fixed places and no more: a partition table, and a superblock at the beginning
// of the disc and of each partition. Nothing is mounted, no process is started.
//
// The disc is its guest's, so every field may be anything. A superblock that no kernel
// would take is nothing known; only a read that fails is an error.
package superblock

import (
	"errors"
	"fmt"
	"io"
)

// A Kind is what a disc or a partition holds.
type Kind string

const (
	Ext2       Kind = "ext2"
	Ext3       Kind = "ext3"
	Ext4       Kind = "ext4"
	ExtJournal Kind = "ext journal" // of an ext filesystem on another disc
	XFS        Kind = "xfs"
	Btrfs      Kind = "btrfs"
	Swap       Kind = "swap"
	None       Kind = "none"    // zeros where superblocks lie
	Unknown    Kind = "unknown" // anything else
)

// A Filesystem is one that a disc has, and where.
type Filesystem struct {
	Kind      Kind
	Partition int   // as the guest numbers it; 0 for the disc itself
	At        int64 // byte of the disc at which the filesystem begins
	Room      int64 // bytes from there to the end of its partition or of the disc
	Block     int64 // bytes: the least that it writes at a time; 0 if not known
	Size      int64 // bytes that it fills, as it says itself, whatever room it has
	Label     string
	UUID      string // as blkid(8) prints it; "" if it has none
}

const (
	sector = 512 // what ubd tells the guest, so that of its partition tables

	// All superblocks lie in the first 68 KiB: that of btrfs is the last.
	headSize = btrfsAt + btrfsSize

	// Reads are bounded: what has more partitions than this shows the first of them.
	maxPartitions = 128
)

// Look says what is on a disc of that many bytes: itself and its partitions in the
// order of its table, at least one. It reads 68 KiB for each, and a table of at most
// some 128 KiB. What is cut off counts as zeros.
func Look(r io.ReaderAt, size int64) ([]Filesystem, error) {
	d := disc{r, max(size, 0)}
	whole, err := d.look(0, 0, d.size)
	if err != nil {
		return nil, err
	}
	parts, err := d.partitions()
	if err != nil {
		return nil, err
	}
	// A filesystem may stand beside a table: the guest's kernel offers both.
	var found []Filesystem
	if whole.Kind != Unknown || len(parts) == 0 {
		found = append(found, whole)
	}
	for _, p := range parts {
		f, err := d.look(p.number, p.at, p.room)
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, nil
}

type disc struct {
	r    io.ReaderAt
	size int64
}

// parsers know a filesystem by the first bytes of where it lies.
var parsers = []func(head []byte) (Filesystem, bool){ext, xfs, btrfs, swap}

func (d disc) look(number int, at, room int64) (Filesystem, error) {
	head, err := d.read(at, min(headSize, room))
	if err != nil {
		return Filesystem{}, err
	}
	f := Filesystem{Kind: None}
	if len(trimZeros(head)) > 0 {
		f.Kind = Unknown
	}
	for _, parse := range parsers {
		if g, ok := parse(head); ok {
			f = g
			break
		}
	}
	f.Partition, f.At, f.Room = number, at, room
	return f, nil
}

// read is that many bytes from there; those behind the end are zeros.
func (d disc) read(at, n int64) ([]byte, error) {
	b := make([]byte, n)
	if at < 0 || at >= d.size {
		return b, nil
	}
	_, err := d.r.ReadAt(b[:min(n, d.size-at)], at)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read %d bytes at %d: %w", n, at, err)
	}
	return b, nil
}
