package test

import (
	"os"
	"strings"
	"testing"

	"uml/request"
	"uml/test/lab"
)

// An account changes its keys, in a file that it cannot change itself; not where the
// host does not say so.
func TestShelldKeys(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("account-keys", "yes")
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	l.Shelld()
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO9tEp3lR0hzFnoRGK9nYjMTv7rHDrXAvzSwFV8JfR+j"
	must(t, l, m.UID, request.Request{Act: request.AddKey, Line: key + " me@home"})
	text, err := os.ReadFile(m.Dir + "/.ssh/authorized_keys")
	if err != nil || string(text) != "restrict,pty "+key+" me@home\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if got := l.Must("stat", "-c", "%U %a", m.Dir+"/.ssh", m.Dir+"/.ssh/authorized_keys"); got != "root 755\nroot 644\n" {
		t.Errorf("got %q", got)
	}
	a, _ := must(t, l, m.UID, request.Request{Act: request.Keys})
	print, _, _ := strings.Cut(a.Text, " ")
	if !strings.HasPrefix(print, "SHA256:") || a.Text != print+" ssh-ed25519 me@home" {
		t.Errorf("got %q", a.Text)
	}
	for line, want := range map[string]string{
		print:         "the last key",
		"SHA256:none": "no key of this fingerprint",
	} {
		if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.DropKey, Line: line}); a.Code != 100 || !strings.Contains(a.Fault, want) {
			t.Errorf("%s: got %+v", line, a)
		}
	}
	l.SetHost("account-keys", "no")
	l.StopShelld()
	l.Shelld()
	for _, act := range []request.Act{request.Keys, request.AddKey, request.DropKey} {
		r := request.Request{Act: act}
		if act != request.Keys {
			r.Line = key
		}
		if a, _, _ := asked(t, l, m.UID, r); a.Code != 100 || a.Fault != "keys are the host's administrator's to change here" {
			t.Errorf("%s: got %+v", act, a)
		}
	}
	if a, _ := must(t, l, m.UID, request.Request{Act: request.Login}); a.Keys {
		t.Error("keys may be changed")
	}
}
