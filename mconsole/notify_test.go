package mconsole

import (
	"encoding/binary"
	"strings"
	"testing"
)

func notice(words ...uint32) (b []byte) {
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func TestParseNotice(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want Notice
		ok   bool
	}{
		{append(notice(magic, 2, 1, 5), "oops\x00"...), Notice{NoticePanic, "oops"}, true},
		{append(notice(magic, 2, 3, 4), "user"...), Notice{NoticeUser, "user"}, true},
		{append(notice(magic, 2, 0, 3), "a\x00bc"...), Notice{NoticeSocket, "a"}, true},
		{append(notice(magic, 2, 3, 500), "user"...), Notice{}, false},
		{append(notice(magic, 2, 4, 4), "user"...), Notice{}, false},
		{append(notice(magic, 1, 3, 4), "user"...), Notice{}, false},
		{append(notice(1, 2, 3, 4), "user"...), Notice{}, false},
		{notice(magic, 2, 3, 0), Notice{}, false},
		{nil, Notice{}, false},
		{append(notice(magic, 2, 3, 4), strings.Repeat("x", maxData+1)...), Notice{}, false},
	} {
		if got, err := ParseNotice(c.b); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: got %+v, %v", c.b, got, err)
		}
	}
}

func FuzzParseNotice(f *testing.F) {
	f.Add(append(notice(magic, 2, 1, 5), "oops\x00"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := ParseNotice(b); err == nil && !strings.HasPrefix(string(b[noticeHeader:]), n.Text) {
			t.Errorf("%q became %+v", b, n)
		}
	})
}
