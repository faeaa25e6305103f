package mconsole

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A datagram of an answer (arch/um/drivers/mconsole.h): three numbers of 32 bits in
// the host's byte order, then at most 511 bytes of text and a NUL. It is no longer
// than its text.
const (
	replyHeader = 12 // err, more, len
	maxData     = 512
	maxReply    = replyHeader + maxData
)

// maxParts bounds an answer to 4 MB. The longest honest one is a file of /proc.
const maxParts = 8192

// A part is one datagram of an answer.
type part struct {
	failed bool // the kernel calls the text an error
	more   bool // others follow
	text   string
}

// parsePart takes a datagram apart as far as it bears itself out: its length is
// what was received, not what it says of itself.
func parsePart(b []byte) (part, error) {
	if len(b) < replyHeader+1 || len(b) > maxReply {
		return part{}, fmt.Errorf("%d bytes are no answer of mconsole", len(b))
	}
	word := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	text := b[replyHeader:]
	if word(8) != uint32(len(text)) || text[len(text)-1] != 0 {
		return part{}, fmt.Errorf("%d bytes that say they hold %d are no answer of mconsole", len(text), word(8))
	}
	return part{failed: word(0) != 0, more: word(4) != 0, text: string(text[:len(text)-1])}, nil
}

// An answer is put together from its parts. The kernel says that it failed in any
// of them: in the first of a long error, and where reading a file failed after
// some of it was sent.
type answer struct {
	text   []byte
	parts  int
	failed bool
}

var errEndless = errors.New("it has no end")

// add takes the next part in, and says whether it was the last.
func (a *answer) add(p part) (last bool, err error) {
	if a.parts == maxParts {
		return false, errEndless
	}
	a.parts++
	a.text = append(a.text, p.text...)
	a.failed = a.failed || p.failed
	return !p.more, nil
}
