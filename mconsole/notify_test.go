package mconsole

import (
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

// The first that a real kernel says is where its socket is.
func TestKernelNotifies(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kernel := exec.Command("linux.uml", "mem=32M", "umid=notifies", "uml_dir="+dir+"/", "mconsole=notify:"+at, "con=null", "ssl=null")
	kernel.Env = append(os.Environ(), "TMPDIR="+dir)
	kernel.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := kernel.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { syscall.Kill(-kernel.Process.Pid, syscall.SIGKILL); kernel.Wait() }() // with its children
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 1024)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseNotice(b[:n])
	if want := (Notice{NoticeSocket, dir + "/notifies/mconsole"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
