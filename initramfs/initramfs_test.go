package initramfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The real cpio reads what is written, and the same files give the same archive.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	o := Options{Init: filepath.Join(dir, "program"), Modules: []string{filepath.Join(dir, "b.ko"), filepath.Join(dir, "a.ko")}}
	for i, name := range append(o.Modules, o.Init) {
		if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 1001+i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var one, two bytes.Buffer
	if err := Write(&one, o); err != nil {
		t.Fatal(err)
	}
	if err := Write(&two, o); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("the second differs, %v", err)
	}
	if err := Check(&two); err != nil {
		t.Error(err)
	}
	cmd := exec.Command("sh", "-ec", "busybox cpio -i 2>&1; stat -c '%n %a %s' init modules/*")
	cmd.Dir, cmd.Stdin = t.TempDir(), &one
	out, err := cmd.Output()
	if want := "init 755 1003\nmodules/000-b.ko 755 1001\nmodules/001-a.ko 755 1002\n"; !strings.HasSuffix(string(out), want) || err != nil {
		t.Errorf("got %v:\n%s", err, out)
	}
}

func TestCheck(t *testing.T) {
	for _, text := range []string{"", "07070", "070702xx", "\x1f\x8b"} {
		if err := Check(strings.NewReader(text)); err == nil {
			t.Errorf("%q: is one of ours", text)
		}
	}
}

func TestNeeded(t *testing.T) {
	const list = "kernel/fs/overlayfs/overlay.ko:\nkernel/x/ipv6-more.ko: kernel/b.ko kernel/a.ko\nkernel/z.ko.xz: kernel/a.ko\nkernel/out.ko: ../../etc/shadow\nno colon\n"
	for name, want := range map[string]string{
		"overlay":   "kernel/fs/overlayfs/overlay.ko",
		"ipv6_more": "kernel/a.ko kernel/b.ko kernel/x/ipv6-more.ko",
		"z":         "is compressed",
		"out":       "lies elsewhere",
		"none":      "has no module none",
	} {
		got, err := needed(list, name)
		if text := strings.Join(got, " "); err == nil && text != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v; want %q", name, text, err, want)
		}
	}
}

func FuzzNeeded(f *testing.F) {
	f.Add("kernel/fs/overlayfs/overlay.ko: kernel/a.ko\n")
	f.Fuzz(func(t *testing.T, list string) {
		files, err := needed(list, "overlay")
		for _, name := range files {
			if !filepath.IsLocal(name) || err != nil {
				t.Errorf("%q: got %q, %v", list, files, err)
			}
		}
	})
}
