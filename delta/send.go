package delta

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"uml/sparse"
	"uml/wire"
)

// Kinds of frames.
const (
	KindData = 'D' // file, flags, offset as 8 bytes, and what is there
	KindZero = 'Z' // file, offset, length: zeros
	KindSums = 'S' // file, number of the first block, sums
)

const flagZstd = 1

// Stats are what a pass has done, in bytes.
type Stats struct {
	Read    int64 // of the file: its data
	Changed int64 // sent, or said to be zeros
	Sent    int64 // on the wire
}

// A sender is one pass of one file.
type sender struct {
	c       *wire.Conn
	file    byte
	fast    atomic.Bool  // the wire takes bytes faster than they are compressed
	dense   atomic.Int64 // so many runs are not tried to make shorter
	changed atomic.Int64
	sent    atomic.Int64
	read    atomic.Int64
}

// Send sends what of the file the sums say the other has not, and makes them say so. Its first size
// bytes are the file, which may be written meanwhile: what was read is what is sent.
func Send(ctx context.Context, c *wire.Conn, file byte, f *os.File, size int64, s *Sums, told sparse.Told) (Stats, error) {
	x := &sender{c: c, file: file}
	x.fast.Store(true)
	err := scan(ctx, f, size, s, told, x.part)
	return Stats{x.read.Load(), x.changed.Load(), x.sent.Load()}, err
}

// part sends the runs of blocks that differ.
func (x *sender) part(p *part) error {
	x.read.Add(int64(len(p.data)))
	for i, n := 0, len(p.now)/sumLen; i < n; {
		if p.same(i) {
			i++
			continue
		}
		from, zeros := i, p.zeros(i)
		for i < n && !p.same(i) && p.zeros(i) == zeros {
			i++
		}
		begin, end := from*Block, min(i*Block, len(p.data))
		x.changed.Add(int64(end - begin))
		send := x.data
		if zeros {
			send = x.zero
		}
		if err := send(p, p.at+int64(begin), p.data[begin:end]); err != nil {
			return err
		}
	}
	return nil
}

func (p *part) same(i int) bool {
	return bytes.Equal(p.was[i*sumLen:(i+1)*sumLen], p.now[i*sumLen:(i+1)*sumLen])
}

func (p *part) zeros(i int) bool { return bytes.Equal(p.now[i*sumLen:(i+1)*sumLen], zero[:sumLen]) }

func (x *sender) zero(_ *part, at int64, b []byte) error {
	var head [17]byte
	head[0] = x.file
	binary.BigEndian.PutUint64(head[1:], uint64(at))
	binary.BigEndian.PutUint64(head[9:], uint64(len(b)))
	x.sent.Add(int64(len(head)))
	return x.c.Send(KindZero, head[:])
}

// quick is about what zstd's fastest makes shorter of a disc on one core, bytes a second.
const quick = 300e6

// dense: what nothing makes shorter lies together, and to try takes as long as to sum it.
const dense = 4

var pack, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(piece), zstd.WithLowerEncoderMem(true))

// data sends a run: shorter, if the wire was slower than that takes when the last long one was sent.
func (x *sender) data(p *part, at int64, b []byte) error {
	head := [10]byte{x.file}
	binary.BigEndian.PutUint64(head[2:], uint64(at))
	raw := len(b)
	if !x.fast.Load() && x.dense.Add(-1) < 0 {
		p.short = pack.EncodeAll(b, p.short[:0])
		if len(p.short) < raw-raw/10 {
			head[1], b = flagZstd, p.short
		} else {
			x.dense.Store(dense)
		}
	}
	x.sent.Add(int64(len(head) + len(b)))
	begun := time.Now()
	if err := x.c.Send(KindData, head[:], b); err != nil {
		return err
	}
	if len(b) >= piece/4 {
		x.fast.Store(float64(len(b)) > quick*time.Since(begun).Seconds())
	}
	return nil
}

// SendSums tells the other side what is here of a file.
func SendSums(c *wire.Conn, file byte, size int64, s *Sums) error {
	return s.each(blocks(size), func(block int64, sums []byte) error {
		head := [9]byte{file}
		binary.BigEndian.PutUint64(head[1:], uint64(block))
		return c.Send(KindSums, head[:], sums)
	})
}
