package flatten

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// Debian is a system of Debian's packages.
type Debian struct {
	Suite   string
	Include []string // packages beside those that each guest has
	Mirrors []string // lines of sources.list(5)
	Dir     string   // of root's alone, with room for all of it unpacked
}

// peak is the room that mmdebstrap needs at the most for the packages that each guest has:
// the system and the packages that it is made from, and the archive. Measured with bookworm.
const peak = 700 << 20

// Write writes the archive, by mmdebstrap(1), which checks all signatures and runs the
// packages' scripts on the host: they are as trusted as the host's own.
func (d Debian) Write(ctx context.Context, o Options, out *os.File) error {
	var st unix.Statfs_t
	if err := unix.Statfs(d.Dir, &st); err != nil {
		return err
	}
	if free := int64(st.Bavail) * st.Bsize; free < peak {
		return fault.NoRoom.Temporary("%s: has %d MiB of room, and some %d are needed", d.Dir, free>>20, peak>>20)
	}
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return fault.ProgramMissing.Permanent("mmdebstrap is not installed (try: apt-get install mmdebstrap)")
	}
	list := filepath.Join(d.Dir, "sources.list")
	if err := os.WriteFile(list, []byte(strings.Join(d.Mirrors, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "--variant=minbase", "--mode=root", "--format=tar",
		"--include="+strings.Join(Packages(d.Include), ","), "--customize-hook="+forget, d.Suite, "-", list)
	said := &sayings{say: o.Say}
	cmd.Dir, cmd.Env, cmd.Stderr = d.Dir, d.environment(), said
	// In a process namespace of its own all that it starts ends with it, and it with us; in a
	// mount namespace of its own nothing stays mounted.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL, Setpgid: true}
	archive, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // of which Pdeathsig is
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	w := o.output(ctx, out)
	_, wrote := io.CopyBuffer(onlyWriter{w}, onlyReader{archive}, make([]byte, 1<<20))
	if wrote != nil {
		cmd.Process.Kill()
	}
	err = cmd.Wait()
	said.end()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case wrote != nil:
		return fmt.Errorf("what mmdebstrap made of %s: %w", d.Suite, wrote)
	case err != nil:
		return said.fault(d)
	}
	return w.end()
}

// forget takes away what mmdebstrap copies from the host, its name and who resolves its names,
// and what a package made: keys that whoever can read the template would know.
const forget = `rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1"/etc/ssh/ssh_host_*`

// environment has the caller's proxies, by which the host's mirrors may have to be reached.
func (d Debian) environment() []string {
	all := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TMPDIR=" + d.Dir, "HOME=" + d.Dir, "DEBIAN_FRONTEND=noninteractive"}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "all_proxy"} {
		if v := os.Getenv(name); v != "" {
			all = append(all, name+"="+v)
		}
	}
	return all
}

// sayings passes on what mmdebstrap says, and keeps the errors.
type sayings struct {
	say    func(string)
	part   []byte
	errors []string
	last   string
}

const maxSaid = 3 // the first are the cause, the others follow from them

// Write is of package io.
func (s *sayings) Write(b []byte) (int, error) {
	s.part = append(s.part, b...)
	for {
		line, rest, ok := bytes.Cut(s.part, []byte("\n"))
		if !ok {
			if len(s.part) > 4096 {
				s.part = s.part[:0]
			}
			return len(b), nil
		}
		s.line(string(line))
		s.part = append([]byte(nil), rest...)
	}
}

func (s *sayings) end() {
	if len(s.part) > 0 {
		s.line(string(s.part))
	}
}

func (s *sayings) line(text string) {
	if i := strings.LastIndexByte(strings.TrimRight(text, "\r"), '\r'); i >= 0 { // a bar
		text = text[i+1:]
	}
	text = strings.TrimSpace(text)
	if text == "" || strings.HasPrefix(text, "done") && len(text) < 6 {
		return
	}
	s.last = text
	switch {
	case strings.HasPrefix(text, "E: ") && len(s.errors) < maxSaid:
		s.errors = append(s.errors, strings.TrimPrefix(text, "E: "))
	case strings.HasPrefix(text, "I: ") && strings.HasSuffix(text, "..."): // a step of its work
		s.say("mmdebstrap: " + strings.TrimSuffix(text[3:], "..."))
	}
}

// passing are what apt says of mirrors and networks that may be there another time.
var passing = []string{"Temporary failure", "Could not connect", "Could not resolve", "Cannot initiate the connection", "Connection timed out", "Connection failed", "Unable to connect", "Hash Sum mismatch", "File has unexpected size", "Service Unavailable", "Bad Gateway", "No space left on device", "Network is unreachable"}

func (s *sayings) fault(d Debian) error {
	text := strings.Join(s.errors, "; ")
	if text == "" {
		text = s.last
	}
	all := text + strings.Join(s.errors, " ")
	for _, p := range passing {
		if strings.Contains(all, p) {
			return fault.ProgramFailed.Temporary("mmdebstrap: %s", text)
		}
	}
	return fault.ProgramFailed.Permanent("mmdebstrap: %s (the mirrors are: %s)", text, strings.Join(d.Mirrors, "; "))
}
