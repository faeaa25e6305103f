package radvd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A host is a machines root and host settings, which name its radvd.conf.
type host struct {
	t    testing.TB
	dir  string
	conf string
}

func newHost(t testing.TB) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t, dir, filepath.Join(dir, "etc/radvd.conf")}
	for _, d := range []string{"machines", "settings", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.put("settings/radvd-conf", h.conf)
	return h
}

func (h *host) put(name, text string) {
	h.t.Helper()
	name = filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	// What is put was put long ago.
	if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.Chtimes(name, noon, noon)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) machine(name, prefix string) { h.put("machines/"+name+"/settings/ip6", prefix) }

func (h *host) remove(name string) {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// run is uml-net radvd: what it printed, said and returned.
func (h *host) run(dry bool) (out, said string, err error) {
	var o, s bytes.Buffer
	err = Write(h.t.Context(), Options{
		Machines: filepath.Join(h.dir, "machines"), HostDir: filepath.Join(h.dir, "settings"), DryRun: dry,
		Out: &o, Say: func(line string) { fmt.Fprintln(&s, strings.ReplaceAll(line, h.dir, "DIR")) },
	})
	return o.String(), s.String(), err
}

// write runs it; with quiet it must say nothing.
func (h *host) write(quiet bool) {
	h.t.Helper()
	out, said, err := h.run(false)
	if err != nil || out != "" || quiet && said != "" {
		h.t.Fatalf("got %q, %q, %v", out, said, err)
	}
}

// text is the file's, "-" if there is none. Nothing else is ever left beside it.
func (h *host) text() string {
	h.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(h.conf))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "radvd.conf" {
			h.t.Errorf("left beside it: %s", e.Name())
		}
	}
	text, err := os.ReadFile(h.conf)
	if err != nil {
		return "-"
	}
	return string(text)
}

func (h *host) stat() (st unix.Stat_t) {
	h.t.Helper()
	if err := unix.Lstat(h.conf, &st); err != nil {
		h.t.Fatal(err)
	}
	st.Atim = unix.Timespec{}
	return st
}

// age has what fades be over.
func (h *host) age() {
	h.t.Helper()
	text := h.text()
	for line := range strings.Lines(text) {
		if before, _, ok := strings.Cut(line, until); ok {
			text = strings.ReplaceAll(text, line, before+until+"2026-01-01T00:00:00Z\n")
		}
	}
	h.put("etc/radvd.conf", text)
}

func ours(sections ...section) string { return parted{}.with(sections) }

func TestWrite(t *testing.T) {
	h := newHost(t)
	want := func(text string) {
		t.Helper()
		if got := h.text(); got != text {
			t.Fatalf("got\n%s\nwant\n%s", got, text)
		}
	}
	h.write(true)
	want("-")
	h.machine("a", one)
	h.machine("b", "# none\n")
	h.put("machines/c/settings/ip4", "192.0.2.1\n")
	h.machine("d", two)
	h.put("machines/d/settings/net", "none\n")
	h.machine("lost+found", two)
	h.put("machines/file", two)
	text := ours(had("tap_a", "a", one))
	if out, said, err := h.run(true); out != text || said != "" || err != nil {
		t.Errorf("dry: %q, %q, %v", out, said, err)
	}
	want("-")
	if _, said, err := h.run(false); err != nil || said != "warning: DIR/etc/radvd.conf: written, but no radvd that reads it is running (try: systemctl start radvd)\n" {
		t.Errorf("said %q, %v", said, err)
	}
	want(text)
	before := h.stat()
	if before.Mode != unix.S_IFREG|0o644 || before.Uid != 0 {
		t.Errorf("mode %o of %d", before.Mode, before.Uid)
	}
	h.write(true)
	if out, said, err := h.run(true); out != "" || said != "" || err != nil {
		t.Errorf("dry: %q, %q, %v", out, said, err)
	}
	if now := h.stat(); now != before {
		t.Errorf("unchanged: was %v, is %v", before, now)
	}

	// What the administrator writes stays, and so does the mode of the file.
	mine := "# mine \x01 \xff\r\n\ninterface eth1 { AdvSendAdvert on; };\n"
	const last = "interface eth2 { AdvSendAdvert on; };" // no newline
	h.put("etc/radvd.conf", mine+text+last)
	if err := errors.Join(os.Chown(h.conf, 0, 7), os.Chmod(h.conf, 0o640)); err != nil {
		t.Fatal(err)
	}
	h.machine("e", two)
	h.write(false)
	want(mine + ours(had("tap_a", "a", one), had("tap_e", "e", two)) + last)
	if st := h.stat(); st.Mode != unix.S_IFREG|0o640 || st.Gid != 7 {
		t.Errorf("mode %o of group %d", st.Mode, st.Gid)
	}

	// All machines go.
	for _, m := range []string{"a", "e"} {
		h.remove("machines/" + m)
	}
	h.write(false)
	if n := strings.Count(h.text(), "AdvPreferredLifetime 0"); n != 2 {
		t.Errorf("%d prefixes fade:\n%s", n, h.text())
	}
	h.age()
	h.write(false)
	want(mine + last)
	h.write(true)

	// Without a word of the administrator's the file goes too.
	h.put("etc/radvd.conf", "\n"+ours(had("tap_a", "a", one)))
	h.write(false)
	h.age()
	if out, said, err := h.run(true); out != "" || said != "DIR/etc/radvd.conf would be removed\n" || err != nil {
		t.Errorf("dry: %q, %q, %v", out, said, err)
	}
	h.write(false)
	want("-")
	h.write(true)
}

// One machine's fault is told, and takes nothing from the others.
func TestFaults(t *testing.T) {
	h := newHost(t)
	h.machine("a", one)
	h.machine("b", two)
	h.write(false)
	h.machine("a", "2001:db8::/48")
	h.machine("b", "2001:db8:0:3::/64")
	if err := os.Mkdir(filepath.Join(h.dir, "machines/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.run(false)
	var text []string
	for _, p := range fault.Parts(err) {
		text = append(text, strings.ReplaceAll(p.Error(), h.dir, "DIR"))
	}
	const want = `a is advertised as before: DIR/machines/a/settings/ip6: "2001:db8::/48": the first prefix is the one on the link, a /64
c is advertised as before: DIR/machines/c/settings: there is no such directory (mkdir it: one file a setting, none at all will do)`
	if got := strings.Join(text, "\n"); got != want || fault.Code(err) != fault.MayPass {
		t.Errorf("exit %d, got\n%s\nwant\n%s", fault.Code(err), got, want)
	}
	got := h.text()
	for _, part := range []string{ours(had("tap_a", "a", one)), "prefix 2001:db8:0:3::/64 { };", "prefix " + two + " { AdvPreferredLifetime 0; "} {
		part = strings.TrimSuffix(strings.TrimPrefix(part, marked), end+"\n")
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	if _, said, err := h.run(false); err == nil || said != "" || h.text() != got {
		t.Errorf("again: %q, %v", said, err)
	}
}

// What must not be written is left as it is.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		text    string
		prepare func(h *host) error
		want    string
		shown   bool // by a dry run
	}{
		{"bad part", "# mine\ninterface eth1 {\n", nil, "DIR/etc/radvd.conf: radvd refuses what would be written, so nothing was (see --dry-run): line 4 error: syntax error", true},
		{"interface twice", "interface eth1 { AdvSendAdvert on; };\ninterface eth1 { AdvSendAdvert on; };\n", nil, "duplicate interface", true},
		{"marker", marked, nil, `DIR/etc/radvd.conf: line 1: "# BEGIN uml-net radvd" has no END after it`, false},
		{"writable", "#\n", func(h *host) error { return os.Chmod(h.conf, 0o666) }, "DIR/etc/radvd.conf: is not root's alone (try: chown root DIR/etc/radvd.conf; chmod go-w DIR/etc/radvd.conf)", false},
		{"owner", "#\n", func(h *host) error { return os.Chown(h.conf, 1, 1) }, "is not root's alone", false},
		{"directory's owner", "#\n", func(h *host) error { return os.Chown(filepath.Dir(h.conf), 1, 1) }, "others than root can change it", false},
		{"fifo", "", func(h *host) error { os.Remove(h.conf); return unix.Mkfifo(h.conf, 0o644) }, "DIR/etc/radvd.conf: is a fifo, not a regular file", false},
		{"no directory", "#\n", func(h *host) error { h.put("settings/radvd-conf", "/no/where/radvd.conf"); return nil }, "/no/where: there is no such directory (see the host's setting radvd-conf)", false},
		{"no machines", "#\n", func(h *host) error { return os.RemoveAll(filepath.Join(h.dir, "machines")) }, "DIR/machines: there is no such directory", false},
		{"links in a ring", "", func(h *host) error { os.Remove(h.conf); return os.Symlink("radvd.conf", h.conf) }, "too many levels of symbolic links", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.machine("a", one)
			h.put("etc/radvd.conf", c.text)
			if c.prepare != nil {
				if err := c.prepare(h); err != nil {
					t.Fatal(err)
				}
			}
			before := h.stat()
			for _, dry := range []bool{true, false} {
				out, said, err := h.run(dry)
				if dry && c.shown && strings.HasPrefix(out, c.text+marked) {
					out = ""
				}
				if err == nil || fault.Code(err) != fault.MustMend || out+said != "" {
					t.Fatalf("exit %d: %q, %q, %v", fault.Code(err), out, said, err)
				}
				if got := strings.ReplaceAll(err.Error(), h.dir, "DIR"); !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
					t.Errorf("got %s, want %s", got, c.want)
				}
			}
			if now := h.stat(); now != before {
				t.Errorf("was %v, is %v", before, now)
			}
		})
	}
}

// An administrator who keeps the file elsewhere by a link keeps the link, which may
// lead to no file yet.
func TestLink(t *testing.T) {
	h := newHost(t)
	h.machine("a", one)
	if err := os.Mkdir(filepath.Join(h.dir, "else"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../else/conf", h.conf); err != nil {
		t.Fatal(err)
	}
	h.write(false)
	if st := h.stat(); st.Mode&unix.S_IFMT != unix.S_IFLNK || h.text() != ours(had("tap_a", "a", one)) {
		t.Errorf("mode %o:\n%s", st.Mode, h.text())
	}
}

// Who moves a machine and leaves a link in its place, or the link alone while what it
// leads to is not mounted, does not have its guest lose its prefix.
func TestLinkedMachine(t *testing.T) {
	h := newHost(t)
	h.machine("a", one)
	h.machine("b", two)
	h.write(false)
	before := h.text()
	machines := filepath.Join(h.dir, "machines")
	other := t.TempDir()
	if err := errors.Join(
		os.Rename(machines+"/a", other+"/a"), os.Symlink(other+"/a", machines+"/a"),
		os.RemoveAll(machines+"/b"), os.Symlink("/no/where/b", machines+"/b"),
		os.Symlink("/etc/passwd", machines+"/c")); err != nil {
		t.Fatal(err)
	}
	_, said, err := h.run(false)
	var want []string
	for _, name := range []string{"a", "b"} {
		want = append(want, name+" is advertised as before: "+machines+"/"+name+": is a symbolic link, so no machine (move the directory there, or remove the link)")
	}
	if err == nil || err.Error() != strings.Join(want, "\n") || fault.Code(err) != fault.MayPass || said != "" || h.text() != before {
		t.Errorf("exit %d, %v, said %s, wrote\n%s", fault.Code(err), err, said, h.text())
	}
}

// Of runs at one time each writes what was set before it began.
func TestTogether(t *testing.T) {
	h := newHost(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			name := fmt.Sprintf("m%02d", i)
			// In one step: another run may look at any time.
			h.put("new/"+name+"/settings/ip6", fmt.Sprintf("2001:db8:0:%x::/64", i))
			if err := os.Rename(filepath.Join(h.dir, "new", name), filepath.Join(h.dir, "machines", name)); err != nil {
				t.Error(err)
			}
			if _, _, err := h.run(false); err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(h.conf); err != nil || !strings.Contains(string(text), "interface tap_"+name+" ") {
				t.Errorf("%s is not in it, %v", name, err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(h.text(), "\tprefix "); n != 20 {
		t.Errorf("%d prefixes, want 20", n)
	}
}

// What stands in the lock file's place is said.
func TestLockIsNoFile(t *testing.T) {
	h := newHost(t)
	f, err := find(h.conf)
	if err != nil {
		t.Fatal(err)
	}
	name := f.lockName()
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	if _, _, err := h.run(false); err == nil || err.Error() != name+": is no regular file (try: rm "+name+")" || fault.Code(err) != fault.MustMend {
		t.Errorf("got %v", err)
	}
}
