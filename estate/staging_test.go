package estate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"uml/fault"
)

// Where machines are made nobody else can come, nor lock it and have all wait; one of before
// is made so.
func TestHoldStaging(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, staging)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := holdStaging(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// A machine's directory any account can lock: it is said which one does.
func TestHeldBy(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "web")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), "flock", "--no-fork", "-x", dir, "sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		f, err := open(dir)
		if err == nil {
			err = flock(f, false)
		}
		if err == nil {
			f.Close()
			continue // it is not there yet
		}
		if !strings.Contains(err.Error(), "of user 65534, which is no uml-machine") || fault.Code(err) != 111 {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Error("it is not locked")
}
