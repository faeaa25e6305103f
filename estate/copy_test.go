package estate

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// A customer may leave anything in his jail where the kernel was.
func TestKernelInJail(t *testing.T) {
	for kind, leave := range map[string]func(string) error{
		"fifo": func(name string) error { return unix.Mkfifo(name, 0o644) },
		"link": func(name string) error { return os.Symlink("/proc/self/exe", name) },
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "jail"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := leave(filepath.Join(dir, "jail/linux")); err != nil {
			t.Fatal(err)
		}
		at, err := handle.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer at.Close()
		p := &parting{dir: dir, at: at, m: &settings.Machine{Kernel: "linux"}}
		ended := make(chan error, 1)
		go func() {
			_, err := p.jailDevice("")
			ended <- err
		}()
		select {
		case err := <-ended:
			if fault.Code(err) != fault.MustMend {
				t.Errorf("%s: got %v", kind, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: waits for ever", kind)
		}
	}
}
