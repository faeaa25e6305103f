package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	begin := time.Unix(0, 0)
	for _, c := range []struct {
		have, bytes int64
		took        time.Duration
		want        string
	}{
		{4 << 30, 10 << 30, 8 * time.Second, "merge: 40% of 10240 MiB, 512 MiB/s, 12s left"},
		{0, 10 << 30, 10 * time.Second, "merge: 0% of 10240 MiB, 0 MiB/s, no end to be seen"},
		{0, 0, time.Second, "merge: 0% of 0 MiB, 0 MiB/s, no end to be seen"},
	} {
		l := lines{what: "merge", bytes: c.bytes, have: c.have, begin: begin}
		if got := l.text(begin.Add(c.took)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// What is done at once shows nothing, what takes longer a bar that is gone afterwards.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	told, done := Bar(&out)("merge", 1000)
	told(500)
	if done(); out.Len() > 0 {
		t.Errorf("got %q at once", out.String())
	}
	told, done = Bar(&out)("merge", 1000)
	told(100)
	time.Sleep(soon)
	told(400)
	if !strings.Contains(out.String(), "merge") || !strings.Contains(out.String(), "50%") {
		t.Errorf("got %q", out.String())
	}
	if strings.Contains(out.String(), "iB/s") {
		t.Errorf("500 bytes in half a second and more: %q", out.String())
	}
	if done(); !strings.HasSuffix(out.String(), "\r") {
		t.Errorf("it stays: %q", out.String())
	}
}
