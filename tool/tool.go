// Package tool runs the real programs for filesystems and disc images, on a file that is
// open: they are given a descriptor, so that no name which another may change is looked up;
// and the one that fetches a package.
//
// A disc is its guest's, and these programs read all of it: they run as the file's owner,
// with no way to more rights, no environment and nothing to read. What they find is the
// guest's word.
package tool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A Runner is who the programs run as: 0 is root.
type Runner struct {
	UID, GID int
	Dir      string // in which they run; "": /
}

// packages are Debian's, for who lacks a program.
var packages = map[string]string{"mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs", "qemu-img": "qemu-utils", "apt-get": "apt"}

// first is the descriptor of the first file that a program is given.
const first = 3

// given is the name of file n in the program's own process.
func given(n int) string { return fmt.Sprintf("/proc/self/fd/%d", first+n) }

// path is where these programs are; that of who calls us may be anything.
const path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// run runs a program to its end, and returns its exit code and the last of what it said.
// Not to be found or to be started is an error, not to succeed is none.
func (r Runner) run(ctx context.Context, files []*os.File, name string, args ...string) (code int, said string, err error) {
	program, err := find(name)
	if err != nil {
		return 0, "", err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var out tail
	cmd.Env, cmd.Dir, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []string{path, "LC_ALL=C"}, cmp.Or(r.Dir, "/"), files, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if r.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(r.UID), Gid: uint32(r.GID)}
		cmd.SysProcAttr.AmbientCaps = untraced()
	}
	err = apart(cmd.Run)
	if ctx.Err() != nil {
		return 0, "", ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), out.line(), nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w %s", name, err, out.line())
	}
	return 0, out.line(), nil
}

// untraced is a capability that is good for nothing: who has less may not trace the program
// (cap_ptrace_access_check in security/commoncap.c), nor open what it has open. Code that broke out
// of the owner's guest, in a jail but in the host's process namespace, would else be out
// of the jail by it, where Landlock does not hold it. None if the host has none to give.
func untraced() []uintptr {
	for _, c := range []uintptr{unix.CAP_BLOCK_SUSPEND, unix.CAP_WAKE_ALARM} {
		if has, _ := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); has == 1 && permitted(c) {
			return []uintptr{c}
		}
	}
	return nil
}

func permitted(c uintptr) bool {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return err == nil && data[c/32].Permitted>>(c%32)&1 == 1
}

// apart runs the program from a thread that has given up to gain rights by exec, which the program
// inherits, and that is used for nothing else. It lives as long as the program, which by
// Pdeathsig would die with it.
func apart(run func() error) error {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		err := errors.Join(
			unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
			unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)) // what our caller left open
		if err == nil {
			err = run()
		}
		ended <- err
	}()
	return <-ended
}

func find(name string) (string, error) {
	for dir := range strings.SplitSeq(strings.TrimPrefix(path, "PATH="), ":") {
		if p := dir + "/" + name; unix.Access(p, unix.X_OK) == nil {
			return p, nil
		}
	}
	return "", fault.ProgramMissing.Permanent("%s is not installed (try: apt-get install %s)", name, packages[name])
}

// A tail keeps the last of what a program says, however much it is.
type tail struct{ b []byte }

const most = 2048

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b[max(0, len(b)-most):]...)
	t.b = t.b[max(0, len(t.b)-most):]
	return len(b), nil
}

// line is it as one line.
func (t *tail) line() string {
	return strings.Join(strings.Fields(string(bytes.ToValidUTF8(t.b, nil))), " ")
}
