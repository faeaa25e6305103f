package radvd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uml/fault"
)

// set gives a variable another value until the test ends.
func set[T any](t *testing.T, v *T, value T) {
	old := *v
	*v = value
	t.Cleanup(func() { *v = old })
}

// during has an administrator's command run while radvd checks a text.
func (h *host) during(command string) {
	h.t.Helper()
	real := program()
	h.put("bin/radvd", fmt.Sprintf("#!/bin/sh\n%s\nexec %s \"$@\"\n", command, real))
	if err := os.Chmod(filepath.Join(h.dir, "bin/radvd"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.t.(*testing.T).Setenv("PATH", filepath.Join(h.dir, "bin")+":"+os.Getenv("PATH"))
}

// What an administrator writes while a run is at work is not lost.
func TestEdited(t *testing.T) {
	set(t, &tryFor, 5*time.Minute)
	set(t, &still, 50*time.Millisecond)
	for _, c := range []struct{ name, was, edit, mine string }{
		{"by rename", "# old\n", "mv new radvd.conf", "# new\n"},
		{"by rename, of the same size and time", "# old\n", "touch -r radvd.conf new; mv new radvd.conf", "# new\n"},
		{"in place", "# old\n", "cat new > radvd.conf", "# new\n"},
		{"appended", "# old\n", "cat new >> radvd.conf", "# old\n# new\n"},
		{"made", "", "mv new radvd.conf", "# new\n"},
		{"removed", "# old\n", "rm radvd.conf", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.machine("a", one)
			if c.was != "" {
				h.put("etc/radvd.conf", c.was)
			}
			h.put("edit/new", "# new\n")
			h.during(fmt.Sprintf("cd %[1]s/edit && rmdir todo 2>/dev/null && mv new ../etc/ && cd ../etc && { %[2]s; rm -f new; }", h.dir, c.edit))
			if err := os.Mkdir(filepath.Join(h.dir, "edit/todo"), 0o755); err != nil {
				t.Fatal(err)
			}
			h.write(false)
			if got, want := h.text(), c.mine+ours(had("tap_a", "a", one)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Nor when he removes the machines' part while the last machine's goes.
func TestEditedThenRemoved(t *testing.T) {
	h := newHost(t)
	h.put("etc/radvd.conf", ours(had("tap_a", "a", "", fading(one, -time.Hour))))
	f, err := find(h.conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.read(); err != nil {
		t.Fatal(err)
	}
	h.put("etc/radvd.conf", "# mine\n")
	if err := f.replace(""); err != errEdited || h.text() != "# mine\n" {
		t.Errorf("got %v, left %s", err, h.text())
	}
}

// One who never stops is let have his way.
func TestEditedAgainAndAgain(t *testing.T) {
	set(t, &tryFor, 0)
	h := newHost(t)
	h.machine("a", one)
	h.put("etc/radvd.conf", "# old\n")
	h.during("echo '# new' >> " + h.conf)
	_, said, err := h.run(false)
	if want := h.conf + ": is being changed again and again, so nothing was written (try: fuser -v " + h.conf + ")"; err == nil || err.Error() != want || fault.Code(err) != fault.MayPass || said != "" {
		t.Errorf("exit %d, %v, said %q", fault.Code(err), err, said)
	}
	if got := h.text(); got != "# old\n# new\n" {
		t.Errorf("left %s", got)
	}
}

// An editor that empties the file before it writes it is waited for.
func TestEmptied(t *testing.T) {
	set(t, &tryFor, 10*time.Minute)
	set(t, &still, 5*time.Minute)
	h := newHost(t)
	h.machine("a", one)
	was := ours(had("tap_a", "a", one))
	h.put("etc/radvd.conf", "# old\n"+was)
	h.machine("a", two)
	w, err := os.OpenFile(h.conf, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ended := make(chan error, 1)
	go func() {
		_, _, err := h.run(false)
		ended <- err
	}()
	// A hasty run is given the time to spoil it.
	time.Sleep(200 * time.Millisecond)
	for _, part := range []string{"# new\n", was} {
		if _, err := w.WriteString(part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := os.Chtimes(h.conf, noon, noon); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	got := h.text()
	for _, part := range []string{"# new\n" + marked, "\tprefix " + two + " { };\n", "\tprefix " + one + " { AdvPreferredLifetime 0;"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}

	// The next run does not wait for what this one wrote.
	h.machine("a", one)
	h.write(false)

	// A file that stays empty is one.
	set(t, &still, 50*time.Millisecond)
	h.put("etc/radvd.conf", "")
	h.write(false)
	if got := h.text(); got != was {
		t.Errorf("got\n%s", got)
	}
}
