package program

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A tree of libraries: each file's bytes by its path below the tree's directory,
// which stands for @ in all texts.
type tree map[string]spec

func (l tree) make(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, s := range l {
		s.runpath = strings.ReplaceAll(s.runpath, "@", dir)
		s.rpath = strings.ReplaceAll(s.rpath, "@", dir)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), s.build(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// libraries is what main, built with @ as dir, needs: a line each.
func libraries(t *testing.T, dir string, main spec) (string, error) {
	t.Helper()
	main.interp = strings.ReplaceAll(main.interp, "@", dir)
	main.runpath = strings.ReplaceAll(main.runpath, "@", dir)
	main.rpath = strings.ReplaceAll(main.rpath, "@", dir)
	p, err := Inspect(bytes.NewReader(main.build(t)), "program")
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Libraries()
	var lines []string
	for _, l := range all {
		lines = append(lines, l.Jail)
	}
	return strings.ReplaceAll(strings.Join(lines, " "), dir, "@"), err
}

func i386(h *elf.Header64, _ []elf.Prog64) {
	h.Ident[elf.EI_CLASS], h.Machine = byte(elf.ELFCLASS32), uint16(elf.EM_386)
}

func TestLibraries(t *testing.T) {
	for _, c := range []struct {
		name string
		tree tree
		main spec
		want string
	}{
		{"static", nil, spec{}, ""},
		{"linker only", tree{"ld.so": {}}, spec{interp: "@/ld.so"}, "@/ld.so"},
		{"breadth first, each once",
			tree{"ld.so": {}, "l/a": {needed: []string{"c", "ld.so"}, runpath: "@/l"}, "l/b": {needed: []string{"c", "a"}, runpath: "@/l"}, "l/c": {}},
			spec{interp: "@/ld.so", needed: []string{"a", "b"}, runpath: "@/l"}, "@/ld.so @/l/a @/l/b @/l/c"},
		{"a circle", tree{"ld.so": {}, "l/a": {needed: []string{"a"}}},
			spec{interp: "@/ld.so", needed: []string{"a"}, runpath: "@/l"}, "@/ld.so @/l/a"},
		{"rpath holds below", tree{"ld.so": {}, "l/a": {needed: []string{"b"}}, "l/b": {}},
			spec{interp: "@/ld.so", needed: []string{"a"}, rpath: "@/l"}, "@/ld.so @/l/a @/l/b"},
		{"runpath before rpath", tree{"ld.so": {}, "l/a": {}, "m/a": {}},
			spec{interp: "@/ld.so", needed: []string{"a"}, rpath: "@/l", runpath: "@/m"}, "@/ld.so @/m/a"},
		{"first directory of a list", tree{"ld.so": {}, "l/a": {}, "m/a": {}},
			spec{interp: "@/ld.so", needed: []string{"a"}, runpath: "@/none::$ORIGIN:rel:@/m:@/l"}, "@/ld.so @/m/a"},
		{"another architecture is passed over", tree{"ld.so": {}, "l/a": {change: i386}, "m/a": {}},
			spec{interp: "@/ld.so", needed: []string{"a"}, runpath: "@/l:@/m"}, "@/ld.so @/m/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := libraries(t, c.tree.make(t), c.main); got != c.want || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestLibrariesFaults(t *testing.T) {
	builtIn := strings.Join(builtIn, ", ")
	whole := tree{"ld.so": {}, "l/a": {}}
	var many []string
	for n := range maxLibraries {
		many = append(many, "a"+strconv.Itoa(n))
	}
	needsA := spec{interp: "@/ld.so", needed: []string{"a"}, runpath: "@/l"}
	for _, c := range []struct {
		name   string
		main   spec
		change func(dir string) error
		want   string
	}{
		{"relative linker", spec{interp: "ld.so"}, nil, `needs the dynamic linker "ld.so", which is no plain absolute path`},
		{"unclean linker", spec{interp: "/lib/../etc/passwd"}, nil, `needs the dynamic linker "/lib/../etc/passwd", which is no plain absolute path`},
		{"no linker", spec{interp: "@/none"}, nil, "needs the dynamic linker @/none, which is not there (install it, or link statically)"},
		{"a secret as linker", spec{interp: "/etc/shadow"}, nil, "needs the dynamic linker /etc/shadow: /etc/shadow: is not an ELF file, so not a library"},
		{"a directory as linker", spec{interp: "@/l"}, nil, "needs the dynamic linker @/l: @/l: is a directory, not a regular file"},
		{"linker of i386", needsA, func(dir string) error { return os.WriteFile(dir+"/ld.so", spec{change: i386}.build(t), 0o644) },
			"needs the dynamic linker @/ld.so: @/ld.so: is a program for i386, and this host is " + runtime.GOARCH},
		{"no library", spec{interp: "@/ld.so", needed: []string{"none"}, runpath: "@/l"}, nil,
			"needs the library none, which is in none of @/l, " + builtIn + " (install it, or link statically)"},
		{"relative library", spec{interp: "@/ld.so", needed: []string{"l/a"}, runpath: "@"}, nil,
			"needs the library l/a, which is not there (install it, or link statically)"},
		{"library by its path", spec{interp: "@/ld.so", needed: []string{"/etc/passwd"}}, nil, "needs /etc/passwd: /etc/passwd: is not an ELF file, so not a library"},
		{"a program", needsA, func(dir string) error {
			return os.WriteFile(dir+"/l/a", spec{change: func(h *elf.Header64, _ []elf.Prog64) { h.Type = uint16(elf.ET_EXEC) }}.build(t), 0o644)
		}, "needs a: @/l/a: is a program, not a library"},
		{"a fifo", needsA, func(dir string) error { os.Remove(dir + "/l/a"); return unix.Mkfifo(dir+"/l/a", 0o644) },
			"needs a: @/l/a: is a fifo, not a regular file"},
		{"another's", needsA, func(dir string) error { return os.Chown(dir+"/l/a", 1, 0) },
			"needs a: @/l/a: others than root can write it (chown root, chmod go-w)"},
		{"writable", needsA, func(dir string) error { return os.Chmod(dir+"/l/a", 0o646) },
			"needs a: @/l/a: others than root can write it (chown root, chmod go-w)"},
		{"directory another's", needsA, func(dir string) error { return os.Chown(dir+"/l", 1, 0) },
			"needs a: @/l: others than root can change it, so nothing below it is used (try: chown root @/l; chmod go-w @/l)"},
		{"directory writable", needsA, func(dir string) error { return os.Chmod(dir, 0o777) },
			"needs the dynamic linker @/ld.so: @: others than root can change it, so nothing below it is used (try: chown root @; chmod go-w @)"},
		{"too many", spec{interp: "@/ld.so", needed: many, runpath: "@/l"}, func(dir string) error {
			var errs []error
			for _, n := range many {
				errs = append(errs, os.Link(dir+"/l/a", dir+"/l/"+n))
			}
			return errors.Join(errs...)
		}, "needs more than 128 libraries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := whole.make(t)
			if c.change != nil {
				if err := c.change(dir); err != nil {
					t.Fatal(err)
				}
			}
			_, err := libraries(t, dir, c.main)
			if err == nil || strings.ReplaceAll(err.Error(), dir, "@") != c.want || fault.Code(err) != fault.MustMend {
				t.Errorf("got %v (%d)\nwant %s (%d)", err, fault.Code(err), c.want, fault.MustMend)
			}
		})
	}
}

// A link that its owner turns leads nowhere: the path found is the file judged.
func TestLibrariesRealPath(t *testing.T) {
	dir := tree{"ld.so": {}, "l/a.1": {}}.make(t)
	if err := os.Symlink("l/a.1", dir+"/a"); err != nil {
		t.Fatal(err)
	}
	p, err := Inspect(bytes.NewReader(spec{interp: dir + "/ld.so", needed: []string{"a"}, runpath: dir}.build(t)), "program")
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Libraries()
	want := Library{Path: dir + "/l/a.1", Jail: dir + "/a"}
	if err != nil || len(all) != 2 || all[1] != want {
		t.Errorf("got %v, %v, want the second to be %v", all, err, want)
	}
}
