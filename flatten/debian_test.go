package flatten

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uml/fault"
)

func etc(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "apt")
	if err := os.MkdirAll(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMirrors(t *testing.T) {
	old := map[string]string{
		"../os-release": "VERSION_CODENAME=bookworm\n",
		"sources.list":  "# a mirror\ndeb http://m.example/debian bookworm main contrib # ours\ndeb-src http://m.example/debian bookworm main\ndeb [arch=amd64 trusted=yes] http://s.example bookworm-security main\ndeb http://other.example stable extra\n",
	}
	now := map[string]string{
		"../os-release": "VERSION_CODENAME=\"bookworm\"\n",
		"sources.list.d/debian.sources": "Types: deb deb-src\n# a comment\nURIs: http://a.example/debian\n http://b.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n" +
			"Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n\nTypes: deb\nURIs: http://c.example\nSuites: nodistro\nComponents: main\n",
		"sources.list.d/ignored.save": "deb http://x.example bookworm main\n",
	}
	for _, c := range []struct {
		files       map[string]string
		suite, want string
	}{
		{old, "bookworm", "deb http://m.example/debian bookworm main contrib|deb [arch=amd64 trusted=yes] http://s.example bookworm-security main"},
		{old, "trixie", "deb http://m.example/debian trixie main contrib|deb [arch=amd64 trusted=yes] http://s.example trixie-security main"},
		{old, "sid", "deb http://m.example/debian sid main contrib"},
		{now, "bookworm", "deb [signed-by=/k.gpg] http://a.example/debian bookworm main|deb [signed-by=/k.gpg] http://a.example/debian bookworm-updates main|deb [signed-by=/k.gpg] http://b.example/debian bookworm main|deb [signed-by=/k.gpg] http://b.example/debian bookworm-updates main"},
	} {
		got, err := Mirrors(etc(t, c.files), c.suite)
		if strings.Join(got, "|") != c.want || err != nil {
			t.Errorf("%s: got %q, %v", c.suite, got, err)
		}
	}
	if _, err := Mirrors(etc(t, nil), "bookworm"); fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), "--mirror") {
		t.Errorf("got %v", err)
	}
}

func TestWords(t *testing.T) {
	for _, s := range []string{"bookworm", "sid", "bookworm-backports"} {
		if err := CheckSuite(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "-x", "a b", "--hook=x", "../x", "A", "a\n"} {
		if CheckSuite(s) == nil || CheckPackage(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if err := CheckPackage("libstdc++6"); err != nil {
		t.Error(err)
	}
	if got := Packages([]string{"sysvinit-core"}); slices.Contains(got, "systemd-sysv") || !slices.Contains(got, "openssh-server") {
		t.Errorf("got %q", got)
	}
}

func FuzzSources(f *testing.F) {
	f.Add("Types: deb\nURIs: http://a\nSuites: b\nComponents: main\n")
	f.Add("deb [a=b] http://a b main")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range slices.Concat(oneLine(text), deb822(text)) {
			if s := l.String(); !strings.HasPrefix(s, "deb ") || strings.ContainsAny(s, "\n\r") {
				t.Errorf("%q: got %q", text, s)
			}
		}
	})
}
