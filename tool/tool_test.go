package tool

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"uml/fault"
)

var nobody = Runner{UID: 65534, GID: 65534}

// disc is a file of nobody's.
func disc(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disc"))
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Chown(nobody.UID, nobody.GID), f.Chmod(0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExt(t *testing.T) {
	f := disc(t, 64<<20)
	ctx := t.Context()
	if err := nobody.Make(ctx, f); err != nil {
		t.Fatal(err)
	}
	check := func(mend, want bool) {
		t.Helper()
		if sound, said, err := nobody.Check(ctx, f, mend); sound != want || err != nil {
			t.Errorf("got %v, %v: %s", sound, err, said)
		}
	}
	check(false, true)
	if err := nobody.Resize(ctx, f, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	check(true, true)
	if err := nobody.Resize(ctx, f, 1<<20); err == nil || fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), "Not enough space") {
		t.Errorf("too small: %v", err)
	}
	if _, err := f.WriteAt(make([]byte, 1<<20), 8192); err != nil { // what the superblock says is there
		t.Fatal(err)
	}
	check(false, false)
}

// What reads a guest's filesystem has no rights, nothing inherited but the disc, and no
// environment.
func TestRights(t *testing.T) {
	t.Setenv("SECRET", "x")
	_, said, err := nobody.run(t.Context(), []*os.File{disc(t, 1)}, "sh", "-c", `id -u; id -G; grep -E 'NoNewPrivs|CapPrm' /proc/self/status; ls /proc/self/fd; env | grep -v '^_=\|PWD=' | sort`)
	want := "65534 65534 CapPrm: 0000001000000000 NoNewPrivs: 1 0 1 2 3 4 LC_ALL=C " + path
	if said != want || err != nil {
		t.Errorf("got %q, %v, want %q", said, err, want)
	}
}

// A process of the same user's, as code that broke out of the guest is, neither traces it nor
// sees what it has open.
func TestUntraced(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := disc(t, 1)
	ready, err := os.OpenFile(f.Name()+".pid", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	if err := ready.Chmod(0o666); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, _, err := nobody.run(ctx, []*os.File{ready}, "sh", "-c", "echo $$ >&3; exec sleep 1000")
		ended <- err
	}()
	defer func() { cancel(); <-ended }()
	var pid string
	for text := []byte{}; !strings.HasSuffix(string(text), "\n"); time.Sleep(10 * time.Millisecond) {
		if text, err = os.ReadFile(ready.Name()); err != nil {
			t.Fatal(err)
		}
		pid = strings.TrimSpace(string(text))
	}
	look := exec.Command("ls", "-L", "/proc/"+pid+"/fd/3", "/proc/"+pid+"/cwd/")
	look.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(nobody.UID), Gid: uint32(nobody.GID)}}
	if out, err := look.CombinedOutput(); err == nil || strings.Count(string(out), "Permission denied") != 2 {
		t.Errorf("%v: %s", err, out)
	}
}

// One that does not end is ended, one that does not stop talking is not listened to.
func TestHostile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := nobody.run(ctx, nil, "sleep", "1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	code, said, err := nobody.run(t.Context(), nil, "sh", "-c", "yes | head -c 5M; printf 'the\\033[2J \\377end\\n'; exit 7")
	if code != 7 || len(said) > most || !strings.HasSuffix(said, "end") || err != nil {
		t.Errorf("got %d, %d bytes, %v", code, len(said), err)
	}
	if _, _, err := nobody.run(t.Context(), nil, "sh", "-c", "kill -9 $$"); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("killed: %v", err)
	}
	_, _, err = nobody.run(t.Context(), nil, "no-such-program")
	if err == nil || fault.Code(err) != fault.MustMend || !strings.HasPrefix(err.Error(), "no-such-program is not installed") {
		t.Errorf("missing: %v", err)
	}
}

func TestQcow2(t *testing.T) {
	raw, image, back := disc(t, 10<<20), disc(t, 0), disc(t, 0)
	if _, err := raw.WriteAt([]byte("content"), 5<<20); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nobody.ToQcow2(t.Context(), image, raw), nobody.FromQcow2(t.Context(), back, image)); err != nil {
		t.Fatal(err)
	}
	a, err1 := os.ReadFile(raw.Name())
	b, err2 := os.ReadFile(back.Name())
	if string(a) != string(b) || err1 != nil || err2 != nil {
		t.Errorf("%d bytes became others, %d; %v, %v", len(a), len(b), err1, err2)
	}
	if err := nobody.FromQcow2(t.Context(), disc(t, 0), raw); err == nil {
		t.Error("took a raw disc for an image")
	}
}
