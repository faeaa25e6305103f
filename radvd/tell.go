package radvd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// program is radvd's path, "" if it is not installed. Cron's PATH has no sbin.
func program() string {
	if path, err := exec.LookPath("radvd"); err == nil && filepath.IsAbs(path) {
		return path
	}
	for _, path := range []string{"/usr/sbin/radvd", "/usr/local/sbin/radvd"} {
		if unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}

// A refusal is what radvd says of a text that it does not take.
type refusal string

func (r refusal) Error() string { return string(r) }

// check has radvd itself judge a text, by its standard input. Without radvd nothing
// is checked.
func check(ctx context.Context, name, text string) error {
	path := program()
	if path == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const stdin = "/proc/self/fd/0"
	cmd := exec.CommandContext(ctx, path, "--logmethod", "stderr_clean", "--configtest", "--config", stdin)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin = strings.NewReader(text)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		words := strings.ReplaceAll(strings.TrimSpace(said.String()), stdin+":", "line ")
		return fault.ProgramFailed.Permanent("%s: radvd refuses what would be written, so nothing was (see --dry-run): %w", name, refusal(strings.ReplaceAll(words, "\n", "; ")))
	}
	if err != nil {
		return fmt.Errorf("check %s: %s: %w", name, path, err)
	}
	return nil
}

// pidFiles are where radvd says its process: its own default, and that of a radvd
// which runs as another user.
var pidFiles = []string{"/run/radvd.pid", "/run/radvd/radvd.pid"}

// tell sends a signal to the radvd that reads the file, whoever has started it. A
// pidfd holds the process while it is judged, so that no other one gets the signal.
func (f *file) tell(signal unix.Signal) (found bool, err error) {
	fd, err := f.running()
	if fd < 0 || err != nil {
		return false, err
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, signal, nil, 0)
	if err == unix.ESRCH {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tell radvd of %s: %w", f.name, err)
	}
	return true, nil
}

// running is a pidfd of that process, -1 if there is none. What cannot be looked at
// is an error: a radvd that was not seen would keep the old file.
func (f *file) running() (int, error) {
	for _, name := range pidFiles {
		pid, err := readPID(name)
		if err != nil {
			return -1, err
		}
		if pid == 0 {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH || err == unix.EINVAL {
			continue // it has ended, and a thread may have its number
		}
		if err != nil {
			return -1, fmt.Errorf("%s: pidfd_open %d: %w", name, pid, err)
		}
		reads, err := f.readBy(pid)
		if reads {
			return fd, nil
		}
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
	}
	return -1, nil
}

// readPID reads a file that may lie in a directory of radvd's user, and be anything:
// 0 if it names no process.
func readPID(name string) (int, error) {
	h, err := handle.Open(name)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer h.Close()
	if h.Regular() != nil {
		return 0, nil
	}
	r, err := h.Reopen(unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 32))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 2 {
		return 0, nil
	}
	return pid, nil
}

// readBy says whether a process is a radvd with this file.
func (f *file) readBy(pid int) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	comm, err := os.ReadFile(dir + "comm")
	var line []byte
	if err == nil && string(comm) == "radvd\n" {
		line, err = os.ReadFile(dir + "cmdline")
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil || len(line) == 0 {
		return false, err
	}
	name := config(strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"))
	if !filepath.IsAbs(name) {
		cwd, err := os.Readlink(dir + "cwd")
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENAMETOOLONG) {
			return false, nil // gone, or deeper than any file of ours
		}
		if err != nil {
			return false, err
		}
		name = filepath.Join(cwd, name)
	}
	reads, err := find(name)
	if fault.Code(err) == fault.MustMend {
		return false, nil // no file that could be ours
	}
	return err == nil && reads.name == f.name, err
}

// config is the configuration that a radvd with these arguments reads.
func config(args []string) string {
	for i, a := range args {
		for _, option := range []string{"-C", "--config"} {
			if a == option && i+1 < len(args) {
				return args[i+1]
			}
		}
		if name, ok := strings.CutPrefix(a, "--config="); ok {
			return name
		}
		if name, ok := strings.CutPrefix(a, "-C"); ok && name != "" {
			return name
		}
	}
	return "/etc/radvd.conf"
}
