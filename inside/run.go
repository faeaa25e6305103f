package inside

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"uml/fault"
)

// run runs a program of the filesystem, whose output goes to the console, a line with the
// program's name before it: none of it is an answer.
func run(name string, args ...string) error {
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if err := os.Setenv("PATH", path); err != nil { // for who looks the program up
		return err
	}
	cmd := exec.Command(name, args...)
	out := &console{prefix: name + ": "}
	cmd.Env = []string{"PATH=" + path, "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "TERM=dumb"}
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fault.Permanent("%s: %w", name, err)
	case out.passes():
		return fault.Temporary("%s %s: %s", name, args[len(args)-1], out.errors())
	}
	return fault.Permanent("%s %s: %w: %s", name, args[len(args)-1], err, out.errors())
}

// A console prints lines, and keeps the last of them.
type console struct {
	prefix string
	part   []byte
	last   []string
}

const keep = 40

// Write is of package io.
func (c *console) Write(b []byte) (int, error) {
	c.part = append(c.part, b...)
	for {
		line, rest, ok := bytes.Cut(c.part, []byte("\n"))
		if !ok && len(rest) == 0 && len(c.part) < 4096 {
			return len(b), nil
		}
		line = bytes.TrimSpace(line)
		line = line[bytes.LastIndexByte(line, '\r')+1:] // of a line that was written anew again and again
		text := strings.ToValidUTF8(string(line), "?")
		c.part = append([]byte(nil), rest...)
		if text == "" {
			continue
		}
		fmt.Fprintln(os.Stdout, c.prefix+text)
		if c.last = append(c.last, text); len(c.last) > keep {
			c.last = c.last[1:]
		}
	}
}

// errors are apt's and apk's own lines of them, or the last of all.
func (c *console) errors() string {
	var all []string
	for _, l := range c.last {
		for _, mark := range []string{"E: ", "W: Failed", "ERROR: ", "dpkg: error"} {
			if strings.HasPrefix(l, mark) {
				all = append(all, l)
			}
		}
	}
	if len(all) == 0 && len(c.last) > 0 {
		all = c.last[len(c.last)-1:]
	}
	return strings.Join(all[:min(len(all), 4)], "; ")
}

// passes says whether a mirror or the network to it may be there another time.
func (c *console) passes() bool {
	all := strings.Join(c.last, "\n")
	for _, p := range []string{"Temporary failure", "Could not connect", "Connection timed out", "Connection failed", "Unable to connect", "Hash Sum mismatch", "Service Unavailable", "temporary error", "network error", "Network is unreachable", "No route to host"} {
		if strings.Contains(all, p) {
			return true
		}
	}
	return false
}
