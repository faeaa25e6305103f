package mconsole

import (
	"encoding/binary"
	"fmt"
)

// A Notice is what a kernel that was started with mconsole=notify:SOCKET sends there
// of its own accord. Who can send to that socket can send any.
type Notice struct {
	Kind NoticeKind
	Text string // the guest's word: see Clean
}

// NoticeKind says what happened (arch/um/drivers/mconsole.h, enum mc_type).
type NoticeKind int32

// The kinds that kernels send.
const (
	NoticeSocket NoticeKind = iota // the kernel is up, not the guest: Text is its mconsole socket
	NoticePanic                    // Text is the panic's message
	NoticeHang                     // in no kernel that was seen
	NoticeUser                     // what somebody in the guest wrote to /proc/mconsole
)

const noticeHeader = 16 // magic, version, type, len

// ParseNotice takes a datagram apart as far as it bears itself out.
func ParseNotice(b []byte) (Notice, error) {
	if len(b) < noticeHeader+1 || len(b) > noticeHeader+maxData {
		return Notice{}, fmt.Errorf("%d bytes are no notice of mconsole", len(b))
	}
	word := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	kind, length, text := NoticeKind(word(8)), word(12), b[noticeHeader:]
	if word(0) != magic || word(4) != version || kind < NoticeSocket || kind > NoticeUser || length > uint32(len(text)) {
		return Notice{}, fmt.Errorf("%d bytes of kind %d that say they hold %d are no notice of mconsole", len(b), kind, length)
	}
	text = text[:length]
	for i, c := range text {
		if c == 0 {
			text = text[:i]
			break
		}
	}
	return Notice{kind, string(text)}, nil
}
