// Package delta finds what of a disc another host lacks, sends that, and puts it where it belongs.
//
// A disc is taken as blocks of 4096 bytes; what the other has is known by a sum of each: so the
// same pass sends a disc the first time, what its guest has changed since, and what an interrupted
// one has left to do. Blocks of zeros are never sent, and are holes there.
//
// Sums lie in a file that has no name, and not in memory, which stays the same for any size:
// two pieces of a MiB, and what they are compressed to.
package delta

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"uml/sparse"
)

// Block is what is compared and sent, in bytes. ext4 and swap write as much.
const Block = 4096

// sumLen: a sum is the SHA-256 of a block, and zeros that of a block of zeros, so that where a disc
// has a hole its sums have one.
const sumLen = sha256.Size

// piece is what is read at once.
const piece = 1 << 20

var zero [Block]byte

// Sums are those of a file, as far as they are known: none is that of zeros.
type Sums struct{ f *os.File }

// New makes sums of a file of which nothing is there. They take room on the filesystem of dir, 1/128
// of the file's data.
func New(dir string) (*Sums, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return &Sums{os.NewFile(uintptr(fd), dir+"/sums")}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &os.PathError{Op: "make a file in", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, ".sums") // a filesystem that has no such files
	if err != nil {
		return nil, err
	}
	return &Sums{f}, os.Remove(f.Name())
}

// Close forgets them.
func (s *Sums) Close() error { return s.f.Close() }

// get reads the sums of n blocks into b.
func (s *Sums) get(b []byte, block int64) error {
	n, err := s.f.ReadAt(b, block*sumLen)
	if err == io.EOF {
		clear(b[n:])
		return nil
	}
	return err
}

func (s *Sums) put(b []byte, block int64) error {
	_, err := s.f.WriteAt(b, block*sumLen)
	return err
}

// forget makes [from,to) blocks those of zeros.
func (s *Sums) forget(from, to int64) error {
	st, err := s.f.Stat()
	if err != nil {
		return err
	}
	if to = min(to, st.Size()/sumLen); from >= to {
		return nil
	}
	return sparse.Clear(s.f, from*sumLen, to*sumLen)
}

// each calls do for stretches of sums that are not all of zeros, in order.
func (s *Sums) each(blocks int64, do func(block int64, sums []byte) error) error {
	st, err := s.f.Stat()
	if err != nil {
		return err
	}
	buf := make([]byte, piece)
	return sparse.Extents(s.f, 0, min(st.Size(), blocks*sumLen), func(from, to int64) error {
		for from -= from % sumLen; from < to; {
			b := buf[:min(piece, to-from)]
			if err := s.get(b, from/sumLen); err != nil {
				return err
			}
			if err := do(from/sumLen, b); err != nil {
				return err
			}
			from += int64(len(b))
		}
		return nil
	})
}

// sum puts the sums of data, whole blocks but for a disc's last, into b.
func sum(b, data []byte) []byte {
	b = b[:0]
	for len(data) > 0 {
		one := data[:min(Block, len(data))]
		data = data[len(one):]
		if bytes.Equal(one, zero[:len(one)]) {
			b = append(b, zero[:sumLen]...)
			continue
		}
		h := sha256.Sum256(one)
		b = append(b, h[:]...)
	}
	return b
}

func blocks(size int64) int64 { return (size + Block - 1) / Block }

// Root is the digest of a whole file of that size, by its sums.
func Root(size int64, s *Sums) (root [sha256.Size]byte, err error) {
	h := sha256.New()
	var number [8]byte
	add := func(n int64) {
		binary.BigEndian.PutUint64(number[:], uint64(n))
		h.Write(number[:])
	}
	add(size)
	err = s.each(blocks(size), func(block int64, sums []byte) error {
		for ; len(sums) >= sumLen; block, sums = block+1, sums[sumLen:] {
			if !bytes.Equal(sums[:sumLen], zero[:sumLen]) {
				add(block)
				h.Write(sums[:sumLen])
			}
		}
		return nil
	})
	if err != nil {
		return root, fmt.Errorf("sums: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
