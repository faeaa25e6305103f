package appliance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/job"
)

// start runs uml-run in the machine's directory until its guest has ended. TERM ends both
// at once; a kernel that is killed leaves children (package lock).
func (o Options) start(ctx context.Context, roomDir string) (*job.Answer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), "uml-run"), "--host-settings", filepath.Join(roomDir, "host"))
	cmd.Dir, cmd.Env = o.Dir, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	said := &log{each: o.Log}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	ended := make(chan struct{})
	go func() {
		EndChildren(cmd.Process.Pid)
		close(ended)
	}()
	answer, wrong := listen(out, said)
	<-ended
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case answer != nil:
		return answer, nil
	case wrong != nil:
		return nil, fault.Permanent("the appliance in %s: %w", o.Dir, wrong)
	}
	return nil, o.silent(err, said)
}

// EndChildren waits for the end of a guest's kernel, which leads a process group, and ends
// what is left of its children: with TERM one is now and then that was being made at that
// moment, stopped for ever, and it has the console open. The group's number is nobody
// else's as long as the kernel is not waited for.
func EndChildren(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	unix.Kill(-pid, unix.SIGKILL)
}

// silent is why there is no answer: uml-run has refused the start, or the kernel has died
// of what it found on the disc.
func (o Options) silent(err error, said *log) error {
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	if text := said.refused(); text != "" && code == fault.MustMend {
		return fault.Permanent("the appliance: %s", text)
	} else if text != "" && code == fault.MayPass {
		return fault.Temporary("the appliance: %s", text)
	}
	return fault.Permanent("the appliance in %s ended without an answer (exit status %d): the last it said is %q", o.Dir, code, said.last())
}

// maxLine bounds a line of the console. An answer is one.
const maxLine = 4 << 20

// listen reads the console to its end, and returns the first answer on it.
func listen(r io.Reader, said *log) (answer *job.Answer, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	for in.Scan() {
		a, wrong := job.ParseLine(in.Bytes())
		switch {
		case answer != nil || err != nil: // no other counts
		case wrong != nil:
			err = wrong
		case a != nil:
			answer = a
		default:
			said.Write(append(in.Bytes(), '\n'))
		}
	}
	if in.Err() != nil && answer == nil && err == nil {
		err = in.Err()
	}
	io.Copy(io.Discard, r) // of a line without end: who writes it would wait for us
	return answer, err
}

// A log keeps the last lines of what uml-run and the kernel say.
type log struct {
	mu    sync.Mutex // uml-run's and the kernel's come by two ways
	each  func(string)
	part  []byte
	lines []string
}

const (
	keepLines = 50
	keepPart  = 1000 // bytes of a line
)

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(b) {
		l.part = append(l.part, line[:min(len(line), keepPart)]...)
		if line[len(line)-1] != '\n' {
			l.part = l.part[:min(len(l.part), keepPart)]
			continue
		}
		text := fault.Line(strings.TrimSpace(string(l.part)))
		l.part = l.part[:0]
		if text == "" {
			continue
		}
		if l.lines = append(l.lines, text); len(l.lines) > keepLines {
			l.lines = l.lines[1:]
		}
		if l.each != nil {
			l.each(text)
		}
	}
	return len(b), nil
}

func (l *log) last() string {
	if len(l.lines) == 0 {
		return ""
	}
	return l.lines[len(l.lines)-1]
}

// refused are uml-run's own reasons.
func (l *log) refused() string {
	var all []string
	for _, line := range l.lines {
		if text, ok := strings.CutPrefix(line, "uml-run: fatal: "); ok {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}
