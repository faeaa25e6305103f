package settings

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whatever lies in the directory is answered by name and holds nothing up.
func TestHostileFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"fifo", func(dir string) error { return unix.Mkfifo(dir+"/mem", 0o644) }, "mem: is a fifo, not a regular file"},
		{"terminal device", func(dir string) error { return unix.Mknod(dir+"/mem", unix.S_IFCHR|0o644, int(unix.Mkdev(5, 0))) }, "mem: is a device, not a regular file"},
		{"endless device", func(dir string) error { return unix.Mknod(dir+"/mem", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))) }, "mem: is a device, not a regular file"},
		{"socket", func(dir string) error { return unix.Mknod(dir+"/mem", unix.S_IFSOCK|0o644, 0) }, "mem: is a socket, not a regular file"},
		{"directory", func(dir string) error { return os.Mkdir(dir+"/mem", 0o755) }, "mem: is a directory, not a regular file"},
		{"link that leaves", func(dir string) error { return os.Symlink("/etc/passwd", dir+"/mem") }, "mem: is a symbolic link, not a regular file"},
		{"link that stays", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/swap", []byte("64M"), 0o644), os.Symlink("swap", dir+"/mem"))
		}, "mem: is a symbolic link, not a regular file"},
		{"link to itself", func(dir string) error { return os.Symlink("mem", dir+"/mem") }, "mem: is a symbolic link, not a regular file"},
		{"another's", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/mem", []byte("64M"), 0o644), os.Chown(dir+"/mem", 1, 0))
		}, "mem: is not root's alone (try: chown root: @/settings/mem; chmod 644 @/settings/mem)"},
		{"anybody's to write", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/mem", []byte("64M"), 0o644), os.Chmod(dir+"/mem", 0o646))
		}, "mem: is not root's alone (try: chown root: @/settings/mem; chmod 644 @/settings/mem)"},
		{"1 GB", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/mem", nil, 0o644), os.Truncate(dir+"/mem", 1<<30))
		}, "mem: is 1073741824 bytes, a setting is at most 65536"},
		{"100,000 lines", text("args", strings.Repeat("a\n", 100_000)), "args: is 200000 bytes, a setting is at most 65536"},
		{"as many lines as fit", text("mem", strings.Repeat("a\n", 32_768)), `mem: 32768 values, "a" and more: this setting takes one`},
		{"NUL", text("mem", "64M\x00"), `mem: "64M\x00"` + noSize},
		{"invalid UTF-8", text("mem", "\xff\xfe"), `mem: "\xff\xfe"` + noSize},
		{"terminal escapes", text("root", "\x1b[2J"), `root: "\x1b[2J": a kernel argument cannot hold '\x1b'`},
		{"unknown", text("memory", "64M"), "memory: is not a setting (see uml-machine(5))"},
		{"other letters", text("MEM", "64M"), "MEM: is not a setting (see uml-machine(5))"},
		{"a name of escapes", text("\x1b[2J\n", ""), `\x1b[2J\n: is not a setting (see uml-machine(5))`},
		{"a leading zero", text("ubd01", "x"), "ubd01: is not a setting (see uml-machine(5))"},
		{"the host's", text("pace", "4"), "pace: is not a setting of a machine, but of the host (/etc/uml-run/pace)"},
		{"backup~", text("mem~", ""), "mem~: is not a setting, but looks like an editor's copy of one (remove it)"},
		{".swp", text(".mem.swp", ""), ".mem.swp: is not a setting, but looks like an editor's copy of one (remove it)"},
		{"#autosave#", text("#mem#", ""), "#mem#: is not a setting, but looks like an editor's copy of one (remove it)"},
		{"mem.bak", text("mem.bak", ""), "mem.bak: is not a setting, but looks like an editor's copy of one (remove it)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := machine(t, account, nil)
			if err := c.make(dir.Join("settings")); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if got, want := faults(t, dir), "@/settings/"+c.want; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			soon(t, start)
		})
	}
}

func text(name, value string) func(dir string) error {
	return func(dir string) error { return os.WriteFile(dir+"/"+name, []byte(value), 0o644) }
}

// soon fails a test that took more than a generous second.
func soon(t *testing.T, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestHostileDirectory(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{"none", os.Remove, "@/settings: there is no such directory (mkdir it: one file a setting, none at all will do)"},
		{"a file", func(dir string) error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o644)) }, "@/settings: is not a directory"},
		{"a link", func(dir string) error { return errors.Join(os.Remove(dir), os.Symlink("/etc", dir)) }, "@/settings: is not a directory"},
		{"a fifo", func(dir string) error { return errors.Join(os.Remove(dir), unix.Mkfifo(dir, 0o644)) }, "@/settings: is not a directory"},
		{"5,000 files", func(dir string) (err error) {
			for n := range 5000 {
				err = errors.Join(err, os.WriteFile(fmt.Sprintf("%s/%d", dir, n), nil, 0o644))
			}
			return err
		}, "@/settings: more than 1000 files, not a settings directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := machine(t, account, nil)
			if err := c.change(dir.Join("settings")); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if got := faults(t, dir); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			soon(t, start)
		})
	}
}

// A list as long as fits is looked through in time.
func TestLongList(t *testing.T) {
	var lines strings.Builder
	for n := range maxPrefixes {
		fmt.Fprintf(&lines, "10.0.%d.0/24\n", n)
	}
	dir := machine(t, account, map[string]string{"ip4": lines.String()})
	start := time.Now()
	same(t, "Addresses4", len(read(t, dir).Addresses4()), maxPrefixes*256)
	soon(t, start)
	dir = machine(t, account, map[string]string{"ip4": lines.String() + "10.1.0.0"})
	same(t, "faults", faults(t, dir), `@/settings/ip4: 257 lines: a machine has at most 256 (a block is one)`)
}
