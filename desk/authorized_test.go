package desk

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"uml/handle"
)

// weak is an RSA key of 1024 bits, which Go no longer makes.
const weak = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDWGm/StbpO3/8WBQddJ0Zb5ifQIxzQwZabVtopBwOJMMrhzxL+JG49C8DsRHAkrDiWtIoNPxSAFXMpaObQkh+MxMGSegT3zMtDltQr+FtCahmPOTOYA4yU0WOrddfIG3mmZH1MfBOIT3yAnVxTr2ZdK3z1MKZhJTYeikh9duOWMw=="

func newKey(t testing.TB) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line1(t, public)
}

func line1(t testing.TB, public any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func print(t testing.TB, line string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key)
}

func TestAddKey(t *testing.T) {
	key := newKey(t)
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := line1(t, &good.PublicKey)
	for line, want := range map[string]string{
		key:                                   "restrict,pty " + key,
		"  " + key + " me@home  ":             "restrict,pty " + key + " me@home",
		key + " a\x1b[2J\"b' # c\u202e":       "restrict,pty " + key + " a[2Jb c",
		key + " " + strings.Repeat("x", 99):   "restrict,pty " + key + " " + strings.Repeat("x", maxComment),
		rsaKey:                                "restrict,pty " + rsaKey,
		weak:                                  "!an RSA key of 1024 bits is too weak",
		"":                                    "!this is no public key",
		"# " + key:                            "!this is no public key",
		"ssh-ed25519 AAAA":                    "!this is no public key",
		`command="/bin/sh" ` + key:            "!options before a key are not taken",
		"pty " + key:                          "!options before a key are not taken",
		"cert-authority " + key:               "!options before a key are not taken",
		key + "\n" + key:                      "!this is no public key",
		"-----BEGIN OPENSSH PRIVATE KEY-----": "!this is no public key",
	} {
		var all authorized
		text, err := all.add(line)
		if bad, is := strings.CutPrefix(want, "!"); is {
			if err == nil || !strings.HasPrefix(err.Error(), bad) || len(all) != 0 {
				t.Errorf("%.30q: got %q, %v", line, text, err)
			}
			continue
		}
		if err != nil || len(all) != 1 || all[0].text != want || !all[0].removable() {
			t.Errorf("%.30q: got %+v, %v", line, all, err)
		}
	}
}

// What the administrator wrote stays, to the letter.
func TestAuthorized(t *testing.T) {
	plain, forced, own := newKey(t), newKey(t), newKey(t)
	before := "# by root\n\n" + plain + " first\nfrom=\"192.0.2.1\",restrict " + forced + "\nnonsense here\n"
	all := parseAuthorized(before)
	if _, err := all.add(forced); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("the administrator's key, without its options: %v", err)
	}
	if _, err := all.add(own + " laptop"); err != nil {
		t.Fatal(err)
	}
	if got := text(all); got != before+"restrict,pty "+own+" laptop\n" {
		t.Errorf("got\n%s", got)
	}
	want := print(t, plain) + " ssh-ed25519 first\n" + print(t, forced) + " ssh-ed25519 (the administrator's, stays)\n" + print(t, own) + " ssh-ed25519 laptop"
	if got := all.show(); got != want {
		t.Errorf("shown:\n%s", got)
	}
	if _, err := all.drop(print(t, forced)); err == nil || !strings.Contains(err.Error(), "is the administrator's") {
		t.Errorf("got %v", err)
	}
	for _, gone := range []string{own, plain} {
		if _, err := all.drop(print(t, gone)); err != nil {
			t.Error(err)
		}
	}
	if got := text(all); got != strings.Replace(before, plain+" first\n", "", 1) {
		t.Errorf("got\n%s", got)
	}
	if _, err := all.drop("SHA256:none"); err == nil {
		t.Error("a key that is not there was removed")
	}
	alone := parseAuthorized("restrict,pty " + own + "\n")
	if _, err := alone.drop(print(t, own)); err == nil || !strings.Contains(err.Error(), "the last key") {
		t.Errorf("got %v", err)
	}
	for len(alone) < maxKeys {
		if _, err := alone.add(newKey(t)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := alone.add(newKey(t)); err == nil {
		t.Error("one key more than there may be")
	}
}

func text(all authorized) (s string) {
	for _, l := range all {
		s += l.text + "\n"
	}
	return s
}

// The file is root's, and so is all that is written through; what somebody has put
// in its place is not touched.
func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	machine, err := handle.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	var all authorized
	if _, err := all.add(newKey(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, sshDir), 0o755); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, sshDir, newFile)
	if err := os.Symlink("/etc/passwd", left); err != nil { // as a power cut leaves a file
		t.Fatal(err)
	}
	if err := all.write(machine); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, sshDir, keyFile)
	st, err := os.Lstat(file)
	if err != nil || st.Mode() != 0o644 {
		t.Fatalf("%v %v", st, err)
	}
	got, err := readKeys(machine)
	if err != nil || got.show() != all.show() {
		t.Errorf("read %q, %v", got.show(), err)
	}
	for name, spoil := range map[string]func() error{
		"the account's": func() error { return os.Chown(file, 12345, 0) },
		"a link":        func() error { return replace(file, func() error { return os.Symlink("/etc/passwd", file) }) },
		"a fifo":        func() error { return replace(file, func() error { return unix.Mkfifo(file, 0o644) }) },
		"a large file": func() error {
			return replace(file, func() error { return os.WriteFile(file, make([]byte, maxKeyFile+1), 0o644) })
		},
		"the account's directory": func() error { return os.Chown(filepath.Dir(file), 12345, 0) },
	} {
		os.Chown(filepath.Dir(file), 0, 0)
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if got, err := readKeys(machine); err == nil {
			t.Errorf("%s: read %q", name, got.show())
		}
	}
}

func replace(file string, by func() error) error {
	if err := os.Remove(file); err != nil {
		return err
	}
	return by()
}

// Whatever is pasted: one line of the file, ours, which says the same when it is
// read again; and whatever the file holds, it is kept.
func FuzzKeys(f *testing.F) {
	key := newKey(f)
	f.Add(key+" me", "# x\n"+key+"\n")
	f.Add("restrict "+key, "\x00\r\n")
	f.Add(`command="a\"b" `+key+` "c`, `from="x" `+key)
	f.Fuzz(func(t *testing.T, line, file string) {
		all := parseAuthorized(file)
		before := text(all)
		if _, err := all.add(line); err != nil {
			if text(all) != before {
				t.Error("a key that was refused has changed the file")
			}
			return
		}
		added, is := strings.CutPrefix(text(all), before)
		if !is || strings.Count(added, "\n") != 1 || !strings.HasPrefix(added, "restrict,pty ") {
			t.Fatalf("added %q", added)
		}
		again := parseAuthorized(added)
		if len(again) != 1 || again[0].key == nil || !again[0].removable() || len(again[0].options) != 2 {
			t.Errorf("%q is read as %+v", added, again)
		}
	})
}
