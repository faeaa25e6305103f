package probe

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

var stampA = stamp{id: 0x1234, secret: [secretSize]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}

func TestQuestion(t *testing.T) {
	for _, test := range []struct {
		kind kind
		seq  uint16
		want string
	}{
		{echo4, 0, "08 00 a5 83 12 34 00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10"},
		{echo4, 300, "08 00 a4 57 12 34 01 2c 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10"},
		{echo6, 65535, "80 00 2d 83 12 34 ff ff 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10"},
	} {
		q := stampA.question(test.kind, test.seq)
		if got := fmt.Sprintf("% x", q); got != test.want {
			t.Errorf("%d: got %s, want %s", test.seq, got, test.want)
		}
		if checksum(q[:]) != 0 {
			t.Errorf("%d: the checksum is wrong", test.seq)
		}
	}
}

func reply(k kind, seq uint16) []byte {
	m := stampA.message(k.reply, seq)
	sum(m[:])
	return m[:]
}

func TestAnswered(t *testing.T) {
	good := reply(echo4, 7)
	for _, test := range []struct {
		name    string
		kind    kind
		message []byte
		want    bool
	}{
		{"good", echo4, good, true},
		{"good IPv6", echo6, reply(echo6, 7), true},
		{"damaged checksum", echo4, slices.Concat(good[:2], []byte{0, 0}, good[4:]), true},
		{"the other family", echo6, good, false},
		{"a question", echo4, changed(good, 0), false},
		{"code", echo4, changed(good, 1), false},
		{"id", echo4, changed(good, 4), false},
		{"secret, first byte", echo4, changed(good, 8), false},
		{"secret, last byte", echo4, changed(good, 23), false},
		{"short", echo4, good[:23], false},
		{"long", echo4, append(slices.Clone(good), 0), false},
		{"empty", echo4, nil, false},
	} {
		seq, ok := stampA.answered(test.kind, test.message)
		if ok != test.want || ok && seq != 7 {
			t.Errorf("%s: got %d, %v, want %v", test.name, seq, ok, test.want)
		}
	}
}

func TestPayload4(t *testing.T) {
	for _, test := range []struct {
		name   string
		packet []byte
		want   int // bytes; -1: none
	}{
		{"empty", nil, -1},
		{"half a header", append([]byte{0x45}, make([]byte, 18)...), -1},
		{"header only", append([]byte{0x45}, make([]byte, 19)...), 0},
		{"options", append([]byte{0x46}, make([]byte, 33)...), 10},
		{"options missing", append([]byte{0x4f}, make([]byte, 33)...), -1},
		{"length below a header's", append([]byte{0x44}, make([]byte, 33)...), -1},
		{"version 6", append([]byte{0x65}, make([]byte, 33)...), -1},
	} {
		got, ok := payload4(test.packet)
		if ok != (test.want >= 0) || ok && len(got) != test.want {
			t.Errorf("%s: got %d bytes, %v, want %d", test.name, len(got), ok, test.want)
		}
	}
}

// Whatever comes, only the exact reply is taken: built again from its sequence
// number it gives the same bytes, but for the checksum.
func FuzzReply(f *testing.F) {
	for _, k := range []kind{echo4, echo6} {
		f.Add(reply(k, 0))
		f.Add(packet{host, []byte{1, 1, 1, 0}, reply(k, 65535)}.bytes(host))
		f.Add(packet{host, nil, changed(reply(k, 1), 9)}.bytes(host))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := payload4(b); ok {
			exact(t, echo4, m)
		}
		exact(t, echo4, b)
		exact(t, echo6, b)
	})
}

func exact(t *testing.T, k kind, message []byte) {
	seq, ok := stampA.answered(k, message)
	want := reply(k, seq)
	same := len(message) == echoSize && bytes.Equal(want[:2], message[:2]) && bytes.Equal(want[4:], message[4:])
	if ok != same {
		t.Errorf("% x: taken %v, exact %v", message, ok, same)
	}
}
