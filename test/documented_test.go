package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"uml/settings"
	"uml/test/lab"
	"uml/test/page"
)

// pages are all Markdown files, by their path from the repository's root.
func pages(t *testing.T) map[string]*page.Page {
	t.Helper()
	all := map[string]*page.Page{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			p, err := page.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(file, "../")] = p
		}
	}
	if len(all) < 15 {
		t.Fatalf("only %d pages", len(all))
	}
	return all
}

// manuals are all manual pages, likewise.
func manuals(t *testing.T) (files []string) {
	t.Helper()
	files, err := filepath.Glob("../docs/*.[1-9]")
	if err != nil || len(files) < 10 {
		t.Fatalf("manual pages: %q %v", files, err)
	}
	return files
}

// Every link leads somewhere: to a file of the repository, and to a heading of it.
func TestDocumentedLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for name, p := range all {
		for _, l := range p.Links {
			if strings.Contains(l.To, "://") || strings.HasPrefix(l.To, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(l.To, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join("..", to)); err != nil {
				t.Errorf("%s:%d: %s: there is no %s", name, l.Line, l.To, to)
			} else if at := all[to]; anchor != "" && (at == nil || !slices.Contains(at.Anchors, anchor)) {
				t.Errorf("%s:%d: %s: there is no such heading", name, l.Line, l.To)
			}
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "docs/") && name != "docs/README.md" && !linked(all, name) {
			t.Errorf("%s: no page leads to it", name)
		}
	}
}

// A manual page's own sections, which make site makes links of.
func TestManualsSections(t *testing.T) {
	t.Parallel()
	for _, file := range manuals(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range section.FindAllSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^\.S[hs] ` + regexp.QuoteMeta(string(m[1])) + `$`).Match(text) {
				t.Errorf("%s: .Sx %s: there is no such heading", file, m[1])
			}
		}
	}
}

var section = regexp.MustCompile(`(?m)^\.Sx (.+?)(?: [.,;:()])*$`)

func linked(all map[string]*page.Page, to string) bool {
	for name, p := range all {
		for _, l := range p.Links {
			file, _, _ := strings.Cut(l.To, "#")
			if file != "" && name != to && path.Join(path.Dir(name), file) == to {
				return true
			}
		}
	}
	return false
}

// Every command of the suite that is written down somewhere is one: the program, its
// command, and the flags are there. It is asked for --help, as nobody: what it would do is not done.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	bin := lab.Binaries(t)
	seen := map[string]string{} // what was said of it
	count := 0
	check := func(where, shell string) {
		for _, args := range page.Invocations(shell) {
			if _, err := os.Stat(filepath.Join(bin, args[0])); err != nil {
				t.Errorf("%s: %s: there is no such program", where, args[0])
				continue
			}
			if args[0] == "uml-shell" { // takes no flags, and its commands are typed at its prompt
				continue
			}
			count++
			line := strings.Join(args, " ")
			if _, ok := seen[line]; !ok {
				seen[line] = help(t, bin, args)
			}
			if said := seen[line]; said != "" {
				t.Errorf("%s: %s: %s", where, line, said)
			}
		}
	}
	for name, p := range pages(t) {
		for _, b := range p.Blocks {
			for _, s := range b.Steps() {
				check(fmt.Sprintf("%s:%d", name, s.Line), s.Command)
			}
		}
		for _, s := range p.Spans {
			if strings.HasPrefix(s.Text, "uml-") {
				check(fmt.Sprintf("%s:%d", name, s.Line), s.Text)
			}
		}
	}
	for _, file := range manuals(t) {
		blocks, err := page.Examples(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			for _, s := range b.Steps() {
				check(fmt.Sprintf("%s:%d", file, s.Line), s.Command)
			}
		}
	}
	if count < 250 {
		t.Errorf("only %d commands were found", count)
	}
	t.Logf("%d commands, %d of them different", count, len(seen))
}

// help is what a program says against these arguments; nothing if it takes them.
func help(t *testing.T, bin string, args []string) string {
	t.Helper()
	args = slices.Clone(args)
	at := slices.Index(args, "--")
	if at < 0 {
		at = len(args)
	}
	said := ""
	// A flag at the end may stand without its value, where the text speaks of the flag.
	for _, with := range [][]string{{"--help"}, {"1", "--help"}} {
		ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(bin, args[0]), slices.Insert(slices.Clone(args[1:]), at-1, with...)...)
		cmd.Dir, cmd.Env = "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		// With other arguments the library, having read all flags, looks for help on them.
		if err == nil && bytes.HasPrefix(out, []byte("NAME:\n")) || bytes.Contains(out, []byte("No help topic for '")) {
			return ""
		}
		if said == "" {
			said = strings.TrimSpace(string(out))
		}
		if !strings.HasPrefix(args[at-1], "--") {
			break
		}
	}
	return said
}

var (
	ofMachine = regexp.MustCompile(`\bsettings/([a-z0-9-]+)(?:$|[^a-z0-9./-]|\.\s|\.$)`)
	ofHost    = regexp.MustCompile(`/etc/uml-run/([a-z-]+)`)
	file      = regexp.MustCompile(`(?:^|[\s"'(])((?:[a-z]+/)+[A-Za-z0-9@_-]+(?:\.[a-z0-9]+)+)\b`)
	testName  = regexp.MustCompile(`\b((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\b`)
)

// Settings, files of the repository and tests that are named exist.
func TestDocumentedNames(t *testing.T) {
	t.Parallel()
	tests := testNames(t)
	roots, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	files := manuals(t)
	for name := range pages(t) {
		files = append(files, "../"+name)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			where := fmt.Sprintf("%s:%d", strings.TrimPrefix(name, "../"), i+1)
			for _, m := range ofMachine.FindAllStringSubmatch(line, -1) {
				if m[1] != "foo" && !isSetting(m[1]) { // foo is the manual's own example of none
					t.Errorf("%s: %s is no setting of a machine", where, m[1])
				}
			}
			for _, m := range ofHost.FindAllStringSubmatch(line, -1) {
				if !isHostSetting(t, m[1]) {
					t.Errorf("%s: %s is no setting of the host", where, m[1])
				}
			}
			for _, m := range testName.FindAllStringSubmatch(line, -1) {
				if !tests[m[1]] {
					t.Errorf("%s: there is no %s", where, m[1])
				}
			}
			for _, m := range file.FindAllStringSubmatch(strings.ReplaceAll(line, "`", " "), -1) {
				top, _, _ := strings.Cut(m[1], "/")
				ours := slices.ContainsFunc(roots, func(e os.DirEntry) bool { return e.IsDir() && e.Name() == top })
				if _, err := os.Stat(filepath.Join("..", m[1])); ours && err != nil {
					t.Errorf("%s: there is no %s", where, m[1])
				}
			}
		}
	}
}

func isSetting(name string) bool {
	_, err := settings.Draft("/machines/web", settings.Account{Name: "web"}, map[string]string{name: ""})
	return err == nil || !strings.Contains(err.Error(), "is not a setting")
}

func isHostSetting(t *testing.T, name string) bool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := settings.ReadHost(dir)
	return err == nil || !strings.Contains(err.Error(), "is not a setting")
}

// testNames are all tests, fuzz targets and benchmarks of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	for _, pattern := range []string{"../*/*_test.go", "../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				all[string(m[1])] = true
			}
		}
	}
	return all
}

var (
	flagLine    = regexp.MustCompile(`(?m)^ +(-.*?)(?:  .*)?$`)
	flagName    = regexp.MustCompile(`-(-?[a-z0-9-]+)`)
	commandName = regexp.MustCompile(`(?m)^   ([a-z-]+)(?:,| ).*$`)
)

// Every command and flag that a program's help tells of is in its manual page, by one of its names.
func TestManualsWhole(t *testing.T) {
	t.Parallel()
	bin := lab.Binaries(t)
	seen := 0
	for _, file := range manuals(t) {
		prog, _, _ := strings.Cut(filepath.Base(file), ".")
		if _, err := os.Stat(filepath.Join(bin, prog)); err != nil || !strings.HasSuffix(file, ".8") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole := helpOf(t, bin, prog)
		commands := []string{}
		if _, list, ok := strings.Cut(whole, "\nCOMMANDS:\n"); ok {
			list, _, _ = strings.Cut(list, "\nGLOBAL OPTIONS:")
			for _, m := range commandName.FindAllStringSubmatch(list, -1) {
				commands = append(commands, m[1])
				if !bytes.Contains(text, []byte(m[1])) {
					t.Errorf("%s: nothing of %s", file, m[1])
				}
			}
		}
		for _, c := range append([]string{""}, commands...) {
			said := whole
			if c != "" {
				said = helpOf(t, bin, prog, c)
			}
			_, options, _ := strings.Cut(said, "OPTIONS:\n")
			for _, m := range flagLine.FindAllStringSubmatch(options, -1) {
				names := flagName.FindAllStringSubmatch(m[1], -1)
				if names[0][1] == "-help" || names[0][1] == "-version" { // which all have
					continue
				}
				seen++
				if !slices.ContainsFunc(names, func(n []string) bool { return inManual(text, n[1]) }) {
					t.Errorf("%s: nothing of %s of %s", file, m[1], c)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d flags were found", seen)
	}
}

func inManual(text []byte, flag string) bool {
	return regexp.MustCompile(`\bFl ` + regexp.QuoteMeta(flag) + `\b`).Match(text)
}

func helpOf(t *testing.T, bin, prog string, command ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, prog), append(command, "--help")...).Output()
	if err != nil {
		t.Fatalf("%s %v --help: %v", prog, command, err)
	}
	return string(out)
}
