package cmdline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The format is known before the command line is read, wherever the flag stands, and whatever
// else is wrong.
func TestFormatOf(t *testing.T) {
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "log-format"), []byte("json\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, env string
		service   bool
		want      string
	}{
		{"p", "", false, ""},
		{"p --log-format json", "", false, "json"},
		{"p -x web -log-format=json", "", false, "json"},
		{"p web --log-format", "", false, ""},
		{"p web --log-format", "json", false, "json"},
		{"p --log-format xml web", "json", false, "json"},
		{"p --log-format json --log-format xml", "", false, "json"},
		{"p --log-format json --log-format text", "", false, "text"},
		{"p --log-format text", "json", false, "text"},
		{"p -- --log-format json", "", false, ""},
		{"p", "xml", false, ""},
		{"p --host-settings " + host, "", false, ""},
		{"p --host-settings " + host, "", true, "json"},
		{"p -x --host-settings=" + host, "xml", true, "json"},
		{"p --host-settings " + host, "text", true, "text"},
		{"p --host-settings /none", "", true, ""},
	} {
		t.Setenv(formatVariable, c.env)
		if got := formatOf(strings.Fields(c.args), c.service); got != c.want && !(c.service && terminal()) {
			t.Errorf("%s (%s): got %q, want %q", c.args, c.env, got, c.want)
		}
	}
}
