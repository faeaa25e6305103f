package lock

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Who is in the jail is ended, and nobody else of the same user's.
func TestEndInside(t *testing.T) {
	const uid = 61013
	run := func() (root string, cmd *exec.Cmd) {
		root = t.TempDir()
		text, err := os.ReadFile("/bin/busybox")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+"/busybox", text, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("/busybox", "sleep", "1000")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return root, cmd
	}
	root, in := run()
	_, out := run()
	defer func() { out.Process.Kill(); out.Wait() }()
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		t.Fatal(err)
	}
	if err := EndInside(&st, uid+1); err != nil || in.Process.Signal(syscall.Signal(0)) != nil {
		t.Errorf("another user's: %v", err)
	}
	if err := EndInside(&st, uid); err != nil {
		t.Error(err)
	}
	if err := in.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("got %v", err)
	}
	if inside(out.Process.Pid, &st, uid) || unix.Kill(out.Process.Pid, 0) != nil {
		t.Error("another jail's was ended")
	}
}
