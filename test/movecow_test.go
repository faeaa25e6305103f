package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// A machine of a template: its template is sent where it is not, under a name of which nobody
// makes machines, and found by what is in it where it is.
func TestMoveTemplate(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	west, east := p.hosts[0], p.hosts[1]
	image := west.Template("small", nil)
	manifest(t, west, image)
	key := west.Key() + ".pub"
	a := newMachine(t, west, "new", "anna", "--template", "small", "--cow", "--ip4", "192.0.2.31", "--key", key, "--activate")
	west.Must("sh", "-ec", `mkdir "$1/.ssh"; echo '# keys of anna' >"$1/.ssh/authorized_keys"`, "sh", a.Dir)
	west.WaitPing("192.0.2.31")
	if got := inGuest(t, west, a, "echo customer >/root/data; sync; cat /root/data"); got != "customer\n" {
		t.Fatal(got)
	}
	if r := p.run(0, "anna", p.address(1)); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	west.WaitPing("192.0.2.31")
	if got := inGuest(t, west, a, "cat /root/data"); got != "customer\n" {
		t.Errorf("the guest has %q", got)
	}
	there := filepath.Join(east.Machines, "anna")
	ubd0 := east.Must("cat", filepath.Join(there, "settings/ubd0"))
	if _, base, _ := strings.Cut(strings.TrimSpace(ubd0), ","); !strings.HasPrefix(base, lab.Templates+"/moved-") || east.Run("cmp", base, "/proc/1/root"+base).Code != 0 {
		t.Errorf("ubd0 is %s", ubd0)
	}
	if got := east.Must("cat", filepath.Join(there, ".ssh/authorized_keys")); got != "# keys of anna\n" {
		t.Errorf("keys: %q", got)
	}
	if r := east.Run("uml-machine", "new", "bert", "--template", "small", "--dry-run"); r.Code != 100 {
		t.Errorf("small is a template of east's now: %+v", r)
	}
	// And back, where it is what it was.
	if r := p.run(1, "anna", p.address(0)); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	west.WaitPing("192.0.2.31")
	if got := west.Must("cat", filepath.Join(a.Dir, "settings/ubd0")); !strings.Contains(got, image) {
		t.Errorf("back, ubd0 is %s", got)
	}
	if got := inGuest(t, west, a, "cat /root/data"); got != "customer\n" {
		t.Errorf("back, the guest has %q", got)
	}
	if got := west.Must("sh", "-c", `ls "$UML_MACHINES/.new"`); got != "" {
		t.Errorf("left: %s", got)
	}
	west.Must("uml-machine", "gc", "--older", "0")
	east.Must("uml-machine", "gc", "--older", "0")
	for _, l := range p.hosts {
		if got := l.Must("sh", "-c", `ls "$UML_MACHINES/.kept"`); got != "" {
			t.Errorf("kept: %s", got)
		}
	}
	if east.Run("id", "anna").Code == 0 {
		t.Error("the account is left")
	}
}

// manifest makes an image a template of the store.
func manifest(t *testing.T, l *lab.Lab, image string) {
	t.Helper()
	sum, _, _ := strings.Cut(l.Must("sha256sum", image), " ")
	text, err := json.Marshal(map[string]any{"name": "small", "stamp": "20261129T010203Z", "sha256": sum, "size": 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.Dir, "manifest")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	l.Must("cp", file, strings.TrimSuffix(image, ".img")+".json")
}
