package appliance

import (
	"os"
	"path/filepath"
	"testing"
)

// A throw-away guest has the host's settings, but waits for nothing; and what uml-run refuses
// is read as text, whatever the host has its messages as.
func TestHostSettings(t *testing.T) {
	from := t.TempDir()
	for name, text := range map[string]string{"log-format": "json", "min-uptime": "600", "external": "eth7"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := &room{dir: t.TempDir()}
	if err := os.MkdirAll(r.settings(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.hostSettings(from); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"log-format": "text", "min-uptime": "0", "external": "eth7"} {
		if got, err := os.ReadFile(filepath.Join(r.settings(), name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}
