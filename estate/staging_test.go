package estate

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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

// A machine's directory any account can lock, and keeps nobody out by that; another uml-machine
// does, until it has gone, however it went.
func TestHold(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "web")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(filepath.Dir(root), 0o755)); err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), "flock", "--no-fork", "-x", dir, "sh", "-c", "echo; exec sleep 1000")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has the lock
		t.Fatal(err)
	}

	first, err := holdName(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holdName(root, "web"); !errors.Is(err, errBusy) || fault.Code(err) != 111 || !strings.HasPrefix(err.Error(), dir+": ") {
		t.Errorf("got %v", err)
	}
	mail, err := holdName(root, "mail")
	if err != nil {
		t.Fatal(err)
	}
	mail.File.Close() // as if it was killed
	if err := letGo(root); err != nil {
		t.Error(err)
	}
	left := func() string {
		names, _ := filepath.Glob(filepath.Join(root, staging, ".*"))
		return strings.Join(names, " ")
	}
	if got := left(); got != first.Name() {
		t.Errorf("left: %s", got)
	}
	if err := first.Close(); err != nil || left() != "" {
		t.Errorf("%v, left: %s", err, left())
	}
}
