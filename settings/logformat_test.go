package settings

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Before all settings are read; what is wrong is ReadHost's to say.
func TestLogFormat(t *testing.T) {
	for text, want := range map[string]string{
		"json": LogJSON, "# for vector\n json \n": LogJSON, "text\n": LogText,
		"": "", "xml": "", "json\ntext\n": "", "JSON": "",
	} {
		if got := LogFormat(hostDir(t, map[string]string{"log-format": text})); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "log-format"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := LogFormat(dir); got != "" { // and it does not wait
		t.Errorf("a fifo: got %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "log-format")); err != nil {
		t.Fatal(err)
	}
	if got := LogFormat(dir); got != "" {
		t.Errorf("none: got %q", got)
	}
}
