package runscript

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uml/fault"
	"uml/handle"
	"uml/program"
	"uml/settings"
)

// user is a guest's; it needs no account.
var user = settings.Account{Name: "guest", UID: 61002, GID: 61003}

// open0755 is a directory that every user can reach.
func open0755(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "runscript-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The user's kernel image may name any file of the host as its library. It gets
// none that the user could not read himself, and learns nothing of it.
func TestLibrariesOfRootAlone(t *testing.T) {
	image, err := os.Open("/usr/bin/linux.uml")
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	real, err := program.Inspect(image, "kernel image")
	if err != nil {
		t.Fatal(err)
	}
	linker, err := os.ReadFile(real.Interp)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		text  []byte
		dir   os.FileMode
		file  os.FileMode
		fault string
	}{
		{"for all", linker, 0o755, 0o644, ""},
		{"hidden by its directory", linker, 0o700, 0o644, "permission denied"},
		{"unreadable", linker, 0o755, 0o600, "permission denied"},
		{"a secret script", []byte("#!/bin/sh PASSWORD=canary\n"), 0o755, 0o600, "permission denied"},
		{"not there, hidden", nil, 0o700, 0o644, "permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(open0755(t), "lib")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "ld.so")
			if c.text != nil {
				if err := os.WriteFile(file, c.text, c.file); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(dir, c.dir); err != nil {
				t.Fatal(err)
			}
			s := &start{m: &settings.Machine{User: user}}
			libs, err := s.findLibraries(&program.Program{Interp: file})
			if c.fault == "" {
				if err != nil || len(libs) != 1 {
					t.Errorf("got %v, %v, want one", libs, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || fault.Code(err) != fault.MustMend || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, %v (%d), want %q", libs, err, fault.Code(err), c.fault)
			}
		})
	}
}

// In a jail that is root's nobody else may be able to rename: what stands there
// under a name of the start's would be given to the user.
func TestJailOfRootAndAGroup(t *testing.T) {
	for _, c := range []struct {
		uid  int
		mode os.FileMode
		fine bool
	}{
		{0, 0o755, true}, {0, 0o775, false}, {0, 0o757, false},
		{user.UID, 0o755, true}, {user.UID, 0o775, true}, {user.UID, 0o757, false}, {1, 0o755, false},
	} {
		dir := open0755(t)
		jail := filepath.Join(dir, "jail")
		if err := os.Mkdir(jail, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(jail, c.uid, user.GID); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(jail, c.mode); err != nil {
			t.Fatal(err)
		}
		d, err := handle.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := &start{dir: d, m: &settings.Machine{User: user}}
		in, err := s.openJail()
		if (err == nil) != c.fine || err != nil && fault.Code(err) != fault.MustMend {
			t.Errorf("owner %d, mode %v: got %v", c.uid, c.mode, err)
		}
		if in != nil {
			in.Close()
		}
		d.Close()
	}
}
