// Package flatten makes one uncompressed tar archive of what templates are made from: a
// directory, an archive, an OCI image, packages of Debian's. Nothing is unpacked by it:
// what is in the archive becomes files in a guest alone (package inside). How large it
// may get is bounded, whatever the source says of itself.
package flatten

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/sparse"
)

// Options are the same for all sources.
type Options struct {
	Limit int64        // bytes of the archive
	Say   func(string) // what was left out
	// Work begins to show work on so many bytes; done ends it. nil shows nothing.
	Work func(what string, bytes int64) (told func(bytes int64), done func())
}

func (o Options) work(what string, bytes int64) (sparse.Told, func()) {
	if o.Work == nil {
		return nil, func() {}
	}
	return o.Work(what, bytes)
}

// An output is an archive that is written, with holes where it has blocks of zeros.
type output struct {
	ctx       context.Context //nolint:containedctx // of one call: whoever copies knows no other way to be ended
	f         *os.File
	at, limit int64
}

func (o Options) output(ctx context.Context, f *os.File) *output {
	return &output{ctx: ctx, f: f, limit: o.Limit}
}

const block = 4096

var zeros [block]byte

// Write is of package io.
func (o *output) Write(b []byte) (n int, err error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	if o.at+int64(len(b)) > o.limit {
		return 0, fault.NoRoom.Permanent("is more than %d MiB, which the template is to be (make it larger: --size)", o.limit>>20)
	}
	for n < len(b) {
		step := min(int(block-o.at%block), len(b)-n)
		if step == block && bytes.Equal(b[n:n+block], zeros[:]) {
			n, o.at = n+block, o.at+block
			continue
		}
		for n+step+block <= len(b) && !bytes.Equal(b[n+step:n+step+block], zeros[:]) {
			step += block
		}
		if _, err := o.f.WriteAt(b[n:n+step], o.at); err != nil {
			return n, Room(err)
		}
		n, o.at = n+step, o.at+int64(step)
	}
	return n, nil
}

// end gives the file its length: it may end in a hole.
func (o *output) end() error { return o.f.Truncate(o.at) }

// Room: a full filesystem may be less full later.
func Room(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.NoRoom.Temporary("the host's filesystem has no room for it: %w", err)
	}
	return err
}

// A reader tells of what is read.
type reader struct {
	io.Reader
	told sparse.Told
}

func (r reader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.told != nil {
		r.told(int64(n))
	}
	return n, err
}
