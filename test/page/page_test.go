package page

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func read(t testing.TB, text string) (*Page, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Read(file)
}

func TestRead(t *testing.T) {
	p, err := read(t, "# A `title`, [linked](x.md)\n\n<!-- two\n`lines` -->\n## Again\n## Again\nsee [it](y.md#z) and `code`\n"+
		"<!-- not run: no mirror -->\n```sh\n# [no](link)\n```\n1. in a list\n   <!-- before: true -->\n   ```\n   # cd /\n   \tx\n   ```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := &Page{
		File:    p.File,
		Anchors: []string{"a-title-linked", "again", "again-1"},
		Links:   []Link{{1, "x.md"}, {7, "y.md#z"}},
		Spans:   []Span{{1, "title"}, {7, "code"}},
		Blocks:  []Block{{9, "sh", "no mirror", "", "# [no](link)\n"}, {14, "", "", "true", "# cd /\n\tx\n"}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	for _, bad := range []string{"```\n", "<!-- not run: x -->\ntext\n"} {
		if p, err := read(t, bad); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func TestSteps(t *testing.T) {
	for text, want := range map[string][]Step{
		"a file\n# with a comment\n": nil,
		"# one \\\n    two\n$ three\nsaid\n": {
			{Line: 2, Command: "one \\\n    two"}, {Line: 4, Other: true, Command: "three", Shown: []string{"said"}}},
		"# cat >x <<'.'\n# no prompt\n.\n# for s in 1; do\n> echo $s; done\n": {
			{Line: 2, Command: "cat >x <<'.'\n# no prompt\n."}, {Line: 5, Command: "for s in 1; do\necho $s; done"}},
		"# uml-ctl console web\n/ # uname\nLinux\n/ # ~.\n# rm x\nremove? [y/N] y\n": {
			{Line: 2, Command: "uml-ctl console web", Input: "uname\n\n", Shown: []string{"Linux"}}, {Line: 6, Command: "rm x", Input: "y\n"}},
	} {
		b := Block{Line: 1, Text: text}
		if got := b.Steps(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", text, got, want)
		}
	}
	sh := Block{Kind: "sh", Text: "a\nb\n"}
	if got := sh.Steps(); len(got) != 2 || got[1].Command != "b" {
		t.Errorf("%+v", got)
	}
}

func TestInvocations(t *testing.T) {
	for shell, want := range map[string][][]string{
		"uml-check | grep uml-x; uml-net gc # all":                     {{"uml-check"}, {"uml-x"}, {"uml-net", "gc"}},
		"echo 'id' | uml-ctl console web 2>/dev/null":                  {{"uml-ctl", "console", "web"}},
		"printf '#!/bin/sh\nexec /usr/local/sbin/uml-net restore\\n'":  {{"uml-net", "restore"}},
		"uml-machine new lan --net 'bridged br0' \\\n --ip4 192.0.2.1": {{"uml-machine", "new", "lan", "--net", "bridged br0", "--ip4", "192.0.2.1"}},
		"A=1 uml-run --dry-run web && x":                               {{"uml-run", "--dry-run", "web"}},
		"ls docs/uml-run.8 uml-run: x/uml-y/z":                         nil,
	} {
		if got := Invocations(shell); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %q\nwant %q", shell, got, want)
		}
	}
}

func TestExamples(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.8")
	text := ".Sh NAME\n.Dl no\n.Sh EXAMPLES\n.Dl # one\n.Bd -literal\n# two \\\\\n  three\n.Ed\n.Sh FILES\n.Dl no\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	blocks, err := Examples(file)
	if err != nil || len(blocks) != 2 || blocks[0].Steps()[0].Command != "one" || blocks[1].Steps()[0].Command != "two \\\n  three" {
		t.Errorf("%+v %v", blocks, err)
	}
}

// Whatever a page holds, reading it ends, and no command is longer than the page.
func FuzzPage(f *testing.F) {
	f.Add("# a\n```sh\n# b <<x\n```\n[x](y)")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := read(t, text)
		if err != nil {
			return
		}
		for _, b := range p.Blocks {
			for _, s := range b.Steps() {
				if !strings.Contains(b.Text, strings.SplitN(s.Command, "\n", 2)[0]) {
					t.Errorf("%q is not in %q", s.Command, b.Text)
				}
				Invocations(s.Command)
			}
		}
	})
}
